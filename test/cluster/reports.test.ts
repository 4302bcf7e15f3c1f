import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { ToWorker } from '../../contracts/cluster.js';
import { nodeReports } from '../../server/cluster/node-reports.js';
import { ReportRounds } from '../../server/cluster/report-rounds.js';
import { metricsTextOf, type Report } from '../../server/snapshot.js';
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

/** What a worker tells that has run so many tasks, and runs some. */
function report(ended: number, running: number): Report {
  const metric = (name: string, type: string, value: number) => ({
    ...{ name, type, help: 'x', aggregator: 'sum' },
    values: [{ labels: { tier: 'tiny' }, value }],
  });
  return {
    metrics: [metric('ended_total', 'counter', ended), metric('running', 'gauge', running)],
    recent: [],
  };
}

test('a node has counted what its workers had that died or hang; what runs is that of those who say so', async () => {
  const sent: [number, ToWorker][] = [];
  const rounds = new ReportRounds((worker, message) => sent.push([worker, message]));
  /** Asks workers of which some answer; resolves to what is told. */
  const ask = async (workers: readonly number[], answers: Readonly<Record<number, Report>>) => {
    sent.length = 0;
    rounds.start(1, 7, workers);
    for (const [worker, message] of [...sent])
      if (message.kind === 'measure' && answers[worker] !== undefined)
        rounds.measured(worker, message.call, answers[worker]);
    await until(() => sent.some(([, { kind }]) => kind === 'reports'), 'the reports');
    const [to, told] = sent.at(-1)!;
    assert.ok(to === 1 && told.kind === 'reports' && told.call === 7);
    const text = await metricsTextOf(told.reports as readonly Report[]);
    return ['ended_total', 'running'].map((name) => Number(text.match(`${name}{tier="tiny"} (\\d+)`)?.[1]));
  };
  assert.deepEqual(await ask([1, 2, 3], { 1: report(1, 1), 2: report(10, 1), 3: report(100, 1) }), [111, 3]);
  assert.deepEqual(await ask([1, 2, 3], { 1: report(2, 1), 3: report(200, 1) }), [212, 2], '2 hangs');
  sent.length = 0;
  rounds.start(1, 7, [1, 2, 5]);
  const { call } = sent[0]![1] as { call: number };
  rounds.measured(1, call, report(2, 1));
  rounds.measured(5, call, report(250, 1));
  rounds.gone(5);
  rounds.measured(2, call, report(10, 1));
  const { reports } = sent.at(-1)![1] as { reports: readonly Report[] };
  assert.match(
    await metricsTextOf(reports),
    /ended_total{tier="tiny"} 462\n/,
    '5 died in the middle, and counts once',
  );
  rounds.gone(2);
  rounds.measured(3, 0, report(300, 0));
  rounds.gone(3);
  assert.deepEqual(await ask([1, 4], { 1: report(3, 1), 4: report(1000, 2) }), [1563, 3], '4 is new');
  rounds.gone(4);
  assert.deepEqual(await ask([1], { 1: report(3, 1) }), [1563, 1]);
});

test.run();
