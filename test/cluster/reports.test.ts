import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { nodeReports } from '../../server/cluster/node-reports.js';
import { until } from '../service/at-service.js';

const test = suite('reports of the workers');

test('a worker that cannot measure itself lives on', async () => {
  const sent: object[] = [];
  let hear: (message: never) => void = () => {};
  const on = (listener: typeof hear) => {
    hear = listener;
  };
  let isAway = true;
  const own = async () => {
    if (isAway) throw new Error('the store is away');
    return { pid: 1 } as never;
  };
  nodeReports(own, { send: (message: object) => void sent.push(message), on } as never);
  hear({ kind: 'measure', call: 1 } as never);
  await new Promise((resolve) => setTimeout(resolve, 20));
  isAway = false;
  hear({ kind: 'measure', call: 2 } as never);
  await until(() => sent.length > 0, 'a report');
  assert.deepEqual(sent, [{ kind: 'measured', call: 2, report: { pid: 1 } }]);
});

test.run();
