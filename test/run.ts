import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shareRabbit } from './shared-rabbit.js';
import { TOLD } from './tell.js';

/**
 * Runs lint and every test file, each in a process of its own, and ends with `N passed, N failed`. A process
 * that fails without a failed test (a crash, a time-out) counts as one failure. A run of all tests measures what
 * they cover, in their own processes, and fails below the limit of `.c8rc.json`.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));
const filter = process.argv[2] ?? '';

const coverage = filter === '' ? mkdtempSync(join(tmpdir(), 'worker-service-coverage-')) : undefined;

/** These look at a clock, because the behaviour that they test is one of time, and run alone. */
const timed = /^(domains\/rules|service\/gateway-faults)\./;
/** These take minutes, and begin early, so that none of them is left alone at the end. */
const slow =
  /^(cluster\/(cluster|configuration|reload)|faults\/(broker-down|faulty-lines|given-back|two-nodes)|service\/(lifecycle|page))\./;
/**
 * What these run in their own process counts as covered. Not those that kill or start many others, nor one of much
 * computing: V8 does not optimize what it measures, and that one took seven times as long.
 */
const measured =
  /^(?!(events\/(cancellation|dead-letters|security)|pool\/tokenizers\/properties|service\/(lifecycle|log|page|security))\.)(config|contracts|domains|events|pool|server|service|simulators|store)\//;
/** These ask the registry of npm, which may be reached with certificates of the machine's own only. */
const asksRegistry = /^docs\/security\./;

const STEP_LIMIT_MS = 420_000;
/** For a process whose time is over, to tell what it waits for. */
const LAST_WORDS_MS = 5000;
/** One more than cores at least: most tests wait for something, a broker that starts or a lease that runs out. */
const LANES = 3;

let passed = 0;
let failed = 0;

/** Of the steps that run, each a process group. */
const running = new Set<number>();

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    for (const pid of running) process.kill(-pid, 'SIGKILL');
    // Which ends the shared broker, too.
    process.exit(1);
  });

await main();

async function main(): Promise<void> {
  const linted = step('lint', ['node_modules/.bin/biome', 'check', '.', '--error-on-warnings']);
  const rank = (file: string) => (slow.test(file) ? 0 : measured.test(file) ? 1 : 2);
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.js') && file.includes(filter))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const isShared = files.some((file) => readFileSync(here + file, 'utf8').includes('sharedRabbit()'));
  const rabbit = isShared ? await counted('the shared broker', shareRabbit) : undefined;
  await linted;
  await inTurn(
    files.filter((file) => timed.test(file)),
    1,
  );
  await inTurn(
    files.filter((file) => !timed.test(file)),
    LANES,
  );
  await counted('the end of the shared broker', async () => rabbit?.close());
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

/** What throws is a failure, and no end of the run. */
async function counted<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    failed++;
    console.log(`FAILED ${what}: ${(error as Error).stack}`);
    return undefined;
  }
}

async function inTurn(files: readonly string[], lanes: number): Promise<void> {
  const left = [...files];
  let toMeasure = files.filter((file) => measured.test(file)).length;
  const lane = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      // Without source maps, which take a twentieth of the time: who looks into a failure runs the file with them.
      await step(file.replace(/\.test\.js$/, ''), [join(here, 'one.js'), relative(root, here + file)]);
      // While others go on: it takes a core for half a minute.
      if (lanes > 1 && measured.test(file) && --toMeasure === 0) await reportCoverage();
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function reportCoverage(): Promise<void> {
  if (coverage === undefined) return;
  const table = await step('coverage', [
    'node_modules/.bin/c8',
    'report',
    '--merge-async',
    '--temp-directory',
    coverage,
  ]);
  rmSync(coverage, { recursive: true });
  console.log(/^File .*$/m.exec(table)?.[0] ?? '');
  console.log(/^All files.*$/m.exec(table)?.[0] ?? '');
}

async function step(name: string, args: string[]): Promise<string> {
  const startedAt = performance.now();
  const { code, output } = await run(name, args);
  const counts = countsOf(output);
  const ran = counts ?? { passed: code === 0 ? 1 : 0, total: 1 };
  const broken = Math.max(ran.total - ran.passed, code === 0 ? 0 : 1);
  passed += ran.passed;
  failed += broken;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${broken === 0 ? 'ok    ' : 'FAILED'} ${name}: ${ran.passed} passed, ${broken} failed (${seconds} s)`,
  );
  if (broken > 0) console.log(output);
  else for (const line of output.split('\n')) if (line.startsWith(TOLD)) console.log(`       ${line}`);
  return output;
}

/** uvu's closing lines. */
function countsOf(output: string): { passed: number; total: number } | undefined {
  const total = /^\s*Total:\s+(\d+)/m.exec(output);
  const good = /^\s*Passed:\s+(\d+)/m.exec(output);
  return total === null || good === null ? undefined : { passed: Number(good[1]), total: Number(total[1]) };
}

function run(name: string, args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      // A group of its own, so that one that hangs takes along what it has started.
      detached: true,
      env: {
        ...process.env,
        NO_COLOR: '1',
        FORCE_COLOR: '0',
        // Where it is set, each process reads all of these as it starts, which takes longer than all else of its start.
        ...(!asksRegistry.test(`${name}.`) && { NODE_EXTRA_CA_CERTS: undefined }),
        ...(measured.test(`${name}.`) && coverage !== undefined && { NODE_V8_COVERAGE: coverage }),
      },
    });
    running.add(child.pid!);
    let timer = setTimeout(() => {
      child.kill('SIGUSR2');
      timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), LAST_WORDS_MS);
    }, STEP_LIMIT_MS);
    let output = '';
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString();
    });
    child.stderr.on('data', (text: Buffer) => {
      output += text.toString();
    });
    child.on('close', (code) => {
      running.delete(child.pid!);
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
