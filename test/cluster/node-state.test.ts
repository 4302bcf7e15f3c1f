import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { ToWorker } from '../../contracts/cluster.js';
import { NodeState } from '../../server/cluster/node-state.js';
import type { Log } from '../../server/log.js';

const test = suite('what is the node’s');

test('a worker has the level of the log of its configuration, unless somebody has set another one', () => {
  const told: [number, ToWorker][] = [];
  const log = { level: 'info' } as Log;
  const node = new NodeState(
    { send: (id, message) => told.push([id, message]), connected: () => [1, 2] },
    log,
  );
  const levels = () => told.splice(0).filter(([, { kind }]) => kind === 'log_level');
  const ready = { kind: 'ready', longestTaskMs: 1000, queues: {} } as const;
  node.ready(1, ready);
  node.ready(2, ready);
  assert.deepEqual(levels(), []);
  const message = { kind: 'log_level', level: 'warn' } as const;
  node.hear(1, message);
  assert.deepEqual(levels(), [
    [1, message],
    [2, message],
  ]);
  assert.equal(log.level, 'warn');
  node.gone(2);
  node.ready(3, ready);
  assert.deepEqual(levels(), [[3, message]]);
});

test.run();
