import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readResult } from '../../bench/compare.js';
import type { SuiteResult } from '../../bench/result.js';
import { runSuite } from '../../bench/suite.js';

const test = suite('benchmark suite');

const main = fileURLToPath(new URL('../../bench/main.js', import.meta.url));

async function bench(...argv: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return benchWith({}, ...argv);
}

async function benchWith(env: Record<string, string>, ...argv: string[]) {
  const child = spawn(process.execPath, [main, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await exited, stdout, stderr };
}

test('a short run prints a table and writes the raw data and the report, which compares with itself', async () => {
  const output = mkdtempSync(join(tmpdir(), 'bench-results-'));
  try {
    const { code, stdout, stderr } = await bench(
      'execute',
      '--seconds',
      '1',
      '--rounds',
      '1',
      '--output',
      output,
    );
    assert.is(code, 0, stderr);
    assert.match(stdout, /^scenario\s+metric\s+value\s+spread\s+aim\s+met\?$/m);
    const [html, json] = readdirSync(output)
      .sort()
      .map((file) => join(output, file));
    assert.ok(stdout.includes(html!) && stdout.includes(json!));
    const result = readResult(readFileSync(json!, 'utf8'), json!);
    assertMeasured(result);
    assert.match(readFileSync(html!, 'utf8'), /<h2>execute<\/h2>/);
    const compared = await bench('--compare', json!, json!);
    assert.is(compared.code, 0);
    assert.match(compared.stdout, /Nothing changed beyond the noise/);
  } finally {
    rmSync(output, { recursive: true });
  }
});

function assertMeasured({ scenarios, options }: SuiteResult): void {
  assert.equal(options, { seed: 1, rounds: 1, seconds: 1 });
  const [execute] = scenarios;
  const value = (name: string) => execute!.metrics.find((metric) => metric.name === name)!.value;
  assert.is(value('service, one worker: failed'), 0);
  assert.is(value('service, two workers: failed'), 0);
  assert.ok(value('service, one worker: CPU') > 0);
  for (const { name, latency, perSecond } of execute!.recordings) {
    // Every answer within the time is in both.
    assert.ok(latency!.count > 0, name);
    assert.is(
      perSecond.flat().reduce((sum, count) => sum + count, 0),
      latency!.count,
      name,
    );
  }
}

test('what is asked wrongly is refused before anything is started', async () => {
  const unknown = await bench('nothing');
  assert.is(unknown.code, 2);
  assert.match(unknown.stderr, /there is no scenario nothing/);
  const missing = await bench('--compare', '/nowhere/a.json', '/nowhere/b.json');
  assert.is(missing.code, 2);
  assert.match(missing.stderr, /ENOENT/);
});

test('a service that does not start fails its scenario, and keeps nothing running', async () => {
  const output = mkdtempSync(join(tmpdir(), 'bench-results-'));
  try {
    const env = { MAX_BODY_BYTES: 'many' };
    const { code, stderr } = await benchWith(env, 'soak', '--seconds', '1', '--output', output);
    assert.is(code, 1);
    assert.match(stderr, /failed: Error: .* ended before it listened/);
  } finally {
    rmSync(output, { recursive: true });
  }
});

test('a scenario that throws is recorded, and the next one runs with what was measured before', async () => {
  const directories: string[] = [];
  const scenario = { question: 'What?', rounds: 3, seconds: 5 };
  const nothing = { metrics: [], recordings: [], notes: [] };
  const result = await runSuite(
    {
      broken: async () => ({
        scenario: {
          ...scenario,
          run: async ({ directory }) => {
            directories.push(directory);
            throw new Error('it broke');
          },
        },
      }),
      next: async () => ({
        scenario: {
          ...scenario,
          run: async (given) => {
            directories.push(given.directory);
            return {
              ...nothing,
              notes: [`${given.rounds} ${given.seconds} ${given.measured('broken', 'm')}`],
            };
          },
        },
      }),
    },
    { kind: 'run', names: ['broken', 'next'], seed: 7, rounds: 2, output: '' },
    () => {},
  );
  assert.match(result.scenarios[0]!.error!, /it broke/);
  assert.equal(result.scenarios[1]!.notes, ['2 5 undefined']);
  for (const directory of directories) assert.throws(() => readdirSync(directory), /ENOENT/);
});

test.run();
