import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { onlyTiny } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import {
  atFaults,
  callsByTask,
  closeAll,
  eventually,
  type FaultyService,
  nothingIsLost,
  type TinyTask,
  tinyTasks,
} from './at-faults.js';

const test = suite('a full disk for the store');
let rabbit: SharedRabbit;
const SLOTS = 4;

test.before(async () => {
  rabbit = await sharedRabbit();
});
test.after.each(closeAll);
test.after(() => rabbit?.close());

test('nothing is acked, the errors are clear, and with space the service goes on without a restart', async () => {
  await onSmallDisk('16m', async (directory) => {
    const under = await atFaults(rabbit, {
      yaml: onlyTiny(SLOTS, 60),
      env: { DATA_DIR: join(directory, 'data') },
    });
    await under.knobs({ outputBytes: 20_000 });
    const before = tinyTasks(3);
    for (const task of before) await under.orchestrator.ready(task);
    await under.orchestrator.outcomes(before.length);
    for (const { event } of under.orchestrator.seen) assert.equal(event.data.status, 'completed');
    fill(directory);
    const refused = await untilRefused(under, before);
    await under.orchestrator.outcomes(before.length);
    const tasks = tinyTasks(12);
    for (const task of tasks) await under.orchestrator.ready(task);
    await eventually(() => under.entries('record_waits').length >= 3 * SLOTS, 'outcomes in hand');
    const ready = await under.ask('GET', '/health/ready');
    assert.deepEqual([ready.status, ready.body.dependencies.store], [503, 'disconnected']);
    assert.match(ready.body.details.store, /disk may be full/);
    assert.match(under.entries('record_waits')[0].error, /disk may be full/);
    const left = async () => {
      const counts = (await rabbit.queues()).get(under.queue('ready.tiny'));
      return counts === undefined ? 0 : counts.ready + counts.unacked;
    };
    await eventually(async () => (await left()) === tasks.length, 'the broker still holds every message');
    assert.equal(under.orchestrator.seen.length, before.length);
    const calls = await callsByTask(under);
    assert.equal(tasks.filter(({ task_id }) => calls[task_id] !== undefined).length, SLOTS);
    rmSync(join(directory, 'filler'));
    await under.orchestrator.outcomes(before.length + tasks.length);
    await eventually(async () => (await under.ask('GET', '/health/ready')).status === 200, 'ready again');
    const after = await callsByTask(under);
    for (const { task_id } of tasks) assert.equal(after[task_id], 1, task_id);
    for (const task of refused) assert.equal((await under.execute(task)).status, 200);
    // The model is called again for those whose callers were told that nothing was kept.
    await nothingIsLost(under, [...before, ...tasks, ...refused], { calls: 2 });
    await closeAll();
  });
});

/** Takes what is left of the disk, to the last byte. */
function fill(directory: string): void {
  const file = openSync(join(directory, 'filler'), 'w');
  try {
    for (const bytes of [1 << 20, 1 << 12, 1])
      try {
        for (;;) writeSync(file, Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
  } finally {
    closeSync(file);
  }
}

/**
 * The store has pages left that earlier transactions have freed, and some become free again with one that fails: tasks
 * by HTTP use them up, until several in a row are refused.
 */
async function untilRefused(under: FaultyService, done: TinyTask[]): Promise<TinyTask[]> {
  const refused: TinyTask[] = [];
  let inRow = 0;
  for (let i = 0; i < 100 && inRow < 5; i++) {
    const [task] = tinyTasks(1);
    const { status, body } = await under.execute(task!);
    if (status === 200) {
      done.push(task!);
      inRow = 0;
      continue;
    }
    assert.deepEqual([status, body.code, body.retryable], [503, 'store_unavailable', true]);
    assert.match(body.detail, /disk may be full/);
    refused.push(task!);
    inRow++;
  }
  assert.equal(inRow, 5, 'the disk did not get full');
  return refused;
}

async function onSmallDisk(size: string, run: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'small-disk-'));
  try {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'pipe' });
    } catch (error) {
      tell(`SKIPPED: a small disk needs the right to mount a tmpfs: ${(error as Error).message}`);
      return;
    }
    try {
      await run(directory);
    } finally {
      execFileSync('umount', ['-l', directory]);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test.run();
