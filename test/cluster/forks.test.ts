import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { loadConfig } from '../../config/load.js';
import { domainNames } from '../../domains/registry.js';
import { openPrimary } from '../../server/cluster/primary.js';
import type { Log } from '../../server/log.js';
import { until } from '../service/at-service.js';

const test = suite('processes that cannot be begun');
const node = process.execPath;
const directory = mkdtempSync(join(tmpdir(), 'worker-service-'));
const exec = join(directory, 'worker.cjs');
const nowhere = { url: 'http://127.0.0.1:9/v1' };
const loaded = loadConfig({ env: { HOST: '127.0.0.1', WORKERS: '2' }, argv: [], domains: domainNames });
const config = { ...loaded, gateway: { ...loaded.gateway, ...nowhere }, rag: { ...loaded.rag, ...nowhere } };
let logged: { event: string; error?: string }[];
const note = (line: object) => void logged.push(line as (typeof logged)[0]);
const log = { level: 'info', info: note, warn: note, error: note, fatal: note } as unknown as Log;

test.before(() => {
  writeFileSync(
    exec,
    `process.send({ kind: 'ready', longestTaskMs: 1, queues: {} });
     process.on('message', ({ kind }) => kind === 'stop' && process.exit(0));`,
  );
  cluster.setupPrimary({ exec });
});
test.before.each(() => {
  logged = [];
});
test.after.each(() => {
  process.execPath = node;
});
test.after(() => rmSync(directory, { recursive: true }));

const onCrashLoop = () => assert.fail('a crash loop');
const count = (event: string) => logged.filter((line) => line.event === event).length;

test('a start says so', async () => {
  process.execPath = join(directory, 'nowhere');
  await assert.rejects(openPrimary({ config, log, onCrashLoop }), /worker 0 could not be started: .*ENOENT/);
  assert.deepEqual(Object.keys(cluster.workers!), []);
});

test('the node goes on with the others, and begins it when that is possible again', async () => {
  const primary = await openPrimary({ config, log, onCrashLoop });
  try {
    process.execPath = join(directory, 'nowhere');
    const [first, second] = Object.values(cluster.workers!);
    first!.process.kill('SIGKILL');
    await until(() => count('worker_start_failed') === 1, 'a start that fails');
    await primary.reload();
    assert.equal(count('reload_failed'), 1);
    assert.ok(!second!.isDead());
    process.execPath = node;
    await until(() => count('worker_respawned') === 1, 'the worker');
    assert.equal(Object.keys(cluster.workers!).length, 2);
  } finally {
    await primary.close();
  }
});

test.run();
