import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CALLERS, CALLERS_CONFIGURATION, shortTasks, startInstantModel } from './instant-model.js';
import { serviceEnvironment, startProcess } from './processes.js';
import { type CpuProfile, flameGraph, foldProfile, sharesOf } from './report/flame-graph.js';
import { unbundled } from './report/unbundled.js';

/**
 * `npm run flame-graph [-- FILE]`: profiles the event loop (`node --cpu-prof`) under the load of the scenario
 * `execute`, prints where its time goes, and draws it.
 */
const WARM_UP_SECONDS = 4;
const MEASURED_SECONDS = 6;
const file = process.argv[2] ?? 'docs/flame-graph.svg';
const directory = mkdtempSync(join(tmpdir(), 'worker-service-flame-graph-'));
const simulators = await startInstantModel();
try {
  const startedAt = performance.now();
  const service = await startProcess(
    '../server/main.js',
    [],
    serviceEnvironment(directory, simulators.gatewayUrl!, CALLERS_CONFIGURATION),
    ['--cpu-prof', '--cpu-prof-dir', directory],
  );
  const load = shortTasks(service, { seed: 1, prefix: 'flame', connections: CALLERS });
  await load(WARM_UP_SECONDS);
  const skipMicros = (performance.now() - startedAt) * 1000;
  const { answered, failed } = await load(MEASURED_SECONDS);
  await service.close();
  if (failed > 0) throw new Error(`${failed} tasks failed`);
  const root = foldProfile(unbundled(profileOfEventLoop()), skipMicros);
  for (const [origin, micros] of sharesOf(root))
    console.log(`${((100 * micros) / root.total).toFixed(1).padStart(5)} % ${origin}`);
  const each = Math.round(root.total / answered);
  writeFileSync(file, flameGraph(root, `event loop, execute: ${each} µs a task, ${answered} tasks`));
  console.log(`${each} µs a task; ${file}`);
} finally {
  await simulators.close();
  rmSync(directory, { recursive: true, force: true });
}

/** Each thread writes a profile of its own; that of the event loop has the thread id 0 in its name. */
function profileOfEventLoop(): CpuProfile {
  const name = readdirSync(directory).find((each) => /\.0\.\d+\.cpuprofile$/.test(each));
  if (name === undefined) throw new Error(`no profile in ${directory}`);
  return JSON.parse(readFileSync(join(directory, name), 'utf8')) as CpuProfile;
}
