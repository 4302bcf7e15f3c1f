import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { ToPrimary, ToWorker } from '../../contracts/cluster.js';
import { Followings } from '../../server/cluster/followings.js';
import { NodePeers } from '../../server/cluster/node-peers.js';
import { until } from '../service/at-service.js';

const test = suite('the primary, between who follows a task and who executes it');
const ask = { kind: 'follow', call: 7, taskId: 'task-1', watch: true } as const;

/** What is told to whom, since the last look. */
function book() {
  const told: [number, ToWorker][] = [];
  const followings = new Followings((worker, message) => told.push([worker, message]));
  const look = () => told.splice(0);
  return { followings, look };
}

const shown = (call: number, what: object | string) => ({ kind: 'shown', call, shown: what });

test('all others are asked, and what one of them shows goes to who asked, under his number', () => {
  const { followings, look } = book();
  followings.follow(1, ask, [2, 3]);
  const round = (look()[0]![1] as { call: number }).call;
  followings.shown(2, round, 'absent');
  followings.shown(3, round, { events: [{ event: 'delta' }] });
  followings.shown(3, round, 'ended');
  assert.deepEqual(look(), [
    [1, shown(7, { events: [{ event: 'delta' }] })],
    [1, shown(7, 'ended')],
  ]);
});

test('it ends when nobody has the task, and at once when there is nobody to ask', () => {
  const { followings, look } = book();
  followings.follow(1, ask, []);
  assert.deepEqual(look(), [[1, shown(7, 'ended')]]);
  followings.follow(1, ask, [2]);
  const round = (look()[0]![1] as { call: number }).call;
  followings.shown(2, round, 'absent');
  assert.deepEqual(look(), [[1, shown(7, 'ended')]]);
});

test('it ends when who showed it dies, though others have not answered: they wait as well', () => {
  const { followings, look } = book();
  followings.follow(1, ask, [2, 3]);
  const round = (look()[0]![1] as { call: number }).call;
  followings.shown(3, round, { events: [] });
  look();
  followings.gone(3);
  assert.deepEqual(look(), [
    [2, { kind: 'unfollow', call: round }],
    [1, shown(7, 'ended')],
  ]);
});

test('who asked leaves or dies: the others are told, and what they still show goes nowhere', () => {
  for (const how of ['leaves', 'dies']) {
    const { followings, look } = book();
    followings.follow(1, ask, [2]);
    const round = (look()[0]![1] as { call: number }).call;
    if (how === 'leaves') followings.unfollow(1, 7);
    else followings.gone(1);
    assert.deepEqual(look(), [[2, { kind: 'unfollow', call: round }]]);
    followings.shown(2, round, 'ended');
    followings.gone(2);
    assert.deepEqual(look(), []);
  }
});

test('a second question of the same number goes to those who may still have it', () => {
  const { followings, look } = book();
  followings.follow(1, { ...ask, watch: false }, [2, 3]);
  const round = (look()[0]![1] as { call: number }).call;
  followings.shown(2, round, 'absent');
  followings.follow(1, ask, [2, 3]);
  assert.deepEqual(look(), [[3, { ...ask, call: round }]]);
});

test('only one shows the task: another one that executes it too, or that had denied it, is sent away', () => {
  const { followings, look } = book();
  followings.follow(1, ask, [2, 3, 4]);
  const round = (look()[0]![1] as { call: number }).call;
  const unfollow = { kind: 'unfollow', call: round };
  followings.shown(2, round, { events: [] });
  look();
  followings.shown(3, round, { events: [{ event: 'delta' }] });
  assert.deepEqual(look(), [[3, unfollow]]);
  followings.shown(4, round, 'absent');
  followings.shown(4, round, { events: [] });
  assert.deepEqual(look(), [[4, unfollow]]);
  followings.shown(2, round, 'ended');
  assert.deepEqual(look(), [[1, shown(7, 'ended')]]);
  followings.shown(4, round, { events: [] });
  assert.deepEqual(look(), [[4, unfollow]]);
});

test('who was told that nobody executes the task asks again after a while', async () => {
  let hear!: (message: ToWorker) => void;
  const sent: ToPrimary[] = [];
  const peers = new NodePeers({
    send: (message) => void sent.push(message),
    on: (listener) => {
      hear = listener;
    },
  });
  const following = peers.follow('task-1', () => {});
  const { call } = sent[0] as { call: number };
  hear({ kind: 'shown', call, shown: 'ended' });
  assert.equal(following.isOver, false);
  await until(() => following.isOver, 'the time to ask again');
  await following.shown();
  // One that executes it by now is joined after all.
  following.watch();
  hear({ kind: 'shown', call, shown: { events: [] } });
  assert.equal(following.isOver, false);
  hear({ kind: 'shown', call, shown: 'ended' });
  assert.equal(following.isOver, true);
  await following.over;
});

test.run();
