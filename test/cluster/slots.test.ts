import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { randomOf } from '../../bench/simulators/random.js';
import type { ToPrimary, ToWorker } from '../../contracts/cluster.js';
import { LeasedSlots } from '../../server/cluster/leased-slots.js';
import { SlotLedger } from '../../server/cluster/slot-ledger.js';
import { Deadline, Interruption } from '../../server/deadline.js';
import type { Slot } from '../../server/wait-queue.js';
import { sleep, until } from '../service/at-service.js';

const test = suite('slots leased from the primary');
const LIMIT = 5;
const fixed = { adaptive: false, min_concurrency: 1 };
const queue = {
  concurrency: LIMIT,
  timeout: 60,
  max_waiting: 10_000,
  threads: 1,
  nice: 0,
  events_share: 0.2,
  ...fixed,
};

/** The mean of so many tasks that those before count no more. */
const many = (meanMs: number) => ({ meanMs, tasks: 16 });

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A node whose messages take a moment, as they do between processes. */
class Node {
  readonly ledger: SlotLedger;
  readonly workers = new Map<number, Worker>();
  messages = 0;
  #started = 0;

  constructor(
    limit = LIMIT,
    readonly more: Partial<typeof queue> = {},
  ) {
    this.ledger = new SlotLedger((id, message) => this.#deliver(id, message));
    this.ledger.resize('tiny', limit);
  }

  start(): Worker {
    this.#started++;
    const worker = new Worker(this.#started, { ...queue, ...this.more }, (message) =>
      this.#hear(worker.id, message),
    );
    this.workers.set(worker.id, worker);
    return worker;
  }

  kill(worker: Worker): void {
    worker.alive = false;
    this.workers.delete(worker.id);
    worker.slots.close();
    this.ledger.gone(worker.id);
  }

  close(): void {
    for (const worker of [...this.workers.values()]) this.kill(worker);
  }

  get running(): number {
    return [...this.workers.values()].reduce((sum, { running }) => sum + running, 0);
  }

  #hear(id: number, message: ToPrimary): void {
    this.messages++;
    setImmediate(() => {
      // What a dead worker still had to say is lost with its pipe.
      if (!this.workers.has(id)) return;
      if (message.kind === 'want') this.ledger.want(id, message.tier, message.slots, message);
      if (message.kind === 'give') this.ledger.give(id, message.tier, message.slots, message);
    });
  }

  #deliver(id: number, message: ToWorker): void {
    this.messages++;
    setImmediate(() => this.workers.get(id)?.listener?.(message));
  }
}

class Worker {
  readonly slots: LeasedSlots;
  listener: ((message: ToWorker) => void) | undefined;
  running = 0;
  /** Most that ran at once. */
  peak = 0;
  alive = true;

  constructor(
    readonly id: number,
    limits: typeof queue,
    send: (message: ToPrimary) => void,
  ) {
    const link = {
      send,
      on: (listener: (message: ToWorker) => void) => {
        this.listener = listener;
      },
    };
    this.slots = new LeasedSlots({ tiny: limits }, 2, link);
  }

  /** Runs one task; false when the worker died first. */
  async run(turns: number, from: 'http' | 'events' = 'http'): Promise<boolean> {
    const deadline = new Deadline(60_000);
    const slot = (await Promise.race([this.slots.acquire('tiny', deadline, from), this.#death()])) as
      | Slot
      | undefined;
    deadline.clear();
    if (slot === undefined || !this.alive) return false;
    this.running++;
    this.peak = Math.max(this.peak, this.running);
    for (let i = 0; i < turns && this.alive; i++) await new Promise((resolve) => setImmediate(resolve));
    this.running--;
    if (this.alive) slot.release();
    return this.alive;
  }

  async #death(): Promise<undefined> {
    while (this.alive) await sleep(5);
    return undefined;
  }
}

test('none is lost or doubled in 1,000 random kills', async () => {
  const node = new Node();
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  node.start();
  node.start();
  let most = 0;
  for (let kills = 0; kills < 1000; ) {
    for (const worker of node.workers.values())
      for (let i = random(4); i > 0; i--) void worker.run(random(4), random(2) === 0 ? 'http' : 'events');
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, node.running);
    assert.ok(node.ledger.held('tiny') <= LIMIT);
    if (random(3) > 0) continue;
    const all = [...node.workers.values()];
    node.kill(all[random(all.length)]!);
    node.start();
    kills++;
  }
  assert.ok(most <= LIMIT, `${most} ran at once`);
  for (const worker of [...node.workers.values()]) node.kill(worker);
  assert.equal(node.ledger.held('tiny'), 0);
  // All slots are there for one that comes now.
  const last = node.start();
  const ended = await Promise.all(Array.from({ length: 20 }, () => last.run(20)));
  assert.deepEqual([...new Set(ended)], [true]);
  assert.equal(last.peak, LIMIT);
  node.close();
});

test('all slots are used by one worker when the other has no work', async () => {
  const node = new Node();
  const [busy, idle] = [node.start(), node.start()];
  assert.equal(await idle.run(1), true);
  await Promise.all(Array.from({ length: 30 }, () => busy.run(20)));
  assert.equal(busy.peak, LIMIT);
  node.close();
});

test('a worker that comes later gets its share from one that holds all', async () => {
  const node = new Node();
  const [first, second] = [node.start(), node.start()];
  let stop = false;
  const load = (worker: Worker) =>
    Promise.all(
      Array.from({ length: 10 }, async () => {
        while (!stop) await worker.run(3);
      }),
    );
  const loads = [load(first)];
  await until(() => first.peak === LIMIT, 'all slots in the first');
  loads.push(load(second));
  await until(() => second.peak >= 2, 'a fair share');
  stop = true;
  await Promise.all(loads);
  node.close();
});

test('a busy worker sends no message a task', async () => {
  const node = new Node();
  const worker = node.start();
  const lane = async () => {
    for (let i = 0; i < 200; i++) await worker.run(1);
  };
  await Promise.all([lane(), lane(), lane()]);
  assert.ok(node.messages < 100, `${node.messages} messages for 600 tasks`);
  node.close();
});

test('a limit that falls is taken from those that hold most, and one that rises is used again', async () => {
  const node = new Node();
  const workers = [node.start(), node.start()];
  let stop = false;
  const loads = workers.flatMap((worker) =>
    Array.from({ length: 10 }, async () => {
      while (!stop) await worker.run(3);
    }),
  );
  await until(() => node.running === LIMIT, 'all slots in use');
  for (const limit of [2, 1, 4, 1, LIMIT, 3, LIMIT]) {
    node.ledger.resize('tiny', limit);
    await until(() => node.ledger.held('tiny') <= limit, `no more than ${limit} held`);
    await until(() => node.running === limit, `${limit} slots in use`);
    for (let turns = 0; turns < 200; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(node.running <= limit && node.ledger.held('tiny') <= limit);
    }
  }
  stop = true;
  await Promise.all(loads);
  node.close();
});

test('what a limit has fallen by is asked of those that hold most, and nothing beyond it is handed out', () => {
  const { ledger, sent } = aLedger(6);
  ledger.want(1, 'tiny', 4);
  ledger.want(2, 'tiny', 2);
  assert.deepEqual(sent.splice(0).map(short), ['1 grant 4', '2 grant 2']);
  ledger.resize('tiny', 4);
  assert.deepEqual(sent.splice(0).map(short), ['1 recall 2']);
  ledger.resize('tiny', 4);
  assert.deepEqual(sent.splice(0), [], 'what was asked for is not asked for again');
  ledger.give(1, 'tiny', 1);
  ledger.resize('tiny', 4);
  assert.deepEqual(sent.splice(0), [], 'nor is the rest of it');
  ledger.resize('tiny', 2);
  assert.deepEqual(sent.splice(0).map(short).sort(), ['1 recall 1', '2 recall 1']);
  ledger.give(1, 'tiny', 2);
  ledger.want(2, 'tiny', 3);
  assert.deepEqual([ledger.held('tiny'), sent.filter(({ message }) => message.kind === 'grant')], [3, []]);
  sent.length = 0;
  ledger.give(2, 'tiny', 1);
  assert.equal(ledger.held('tiny'), 2);
  ledger.resize('tiny', 0);
  ledger.give(1, 'tiny', 1);
  ledger.give(2, 'tiny', 1);
  assert.equal(ledger.held('tiny'), 0);
  assert.ok(sent.every(({ message }) => message.kind !== 'grant'));
});

test('who was asked already is not asked again while another keeps as many', () => {
  const { ledger, sent } = aLedger(7);
  ledger.want(1, 'tiny', 2);
  ledger.want(2, 'tiny', 5);
  sent.length = 0;
  ledger.resize('tiny', 4);
  ledger.resize('tiny', 3);
  assert.deepEqual(sent.splice(0).map(short), ['2 recall 3', '1 recall 1']);
});

test('of slots that are free, each goes to the one who has least of those who want some', () => {
  const { ledger, sent } = aLedger(0);
  for (const worker of [1, 2, 3]) ledger.want(worker, 'tiny', 10);
  ledger.resize('tiny', 7);
  const granted = () =>
    sent
      .splice(0)
      .map(short)
      .filter((each) => each.includes('grant'));
  assert.deepEqual(granted(), ['1 grant 3', '2 grant 2', '3 grant 2']);
  // What a dead worker had is for the others.
  ledger.gone(1);
  assert.deepEqual(granted(), ['2 grant 2', '3 grant 1']);
});

test('of a tier that is not known yet nothing is handed out, and who wants some is not forgotten', () => {
  const { ledger, sent } = aLedger(5);
  ledger.want(1, 'new', 2);
  assert.deepEqual([ledger.held('new'), sent], [0, []]);
  ledger.resize('new', 1);
  assert.deepEqual(sent.map(short), ['1 grant 1']);
});

test('a worker hears who waits elsewhere and how long a slot is held, also when only giving told of it', async () => {
  const { ledger, sent } = aLedger(1);
  const contended = () =>
    sent
      .splice(0)
      .flatMap(({ worker, message }) => (message.kind === 'contended' ? [{ worker, ...message }] : []));
  /** What is asked of 1, which has the only slot, and is busy. */
  const answer = () => {
    for (let at = 0; at < sent.length; at++) {
      const { message } = sent[at]!;
      if ('ask' in message) ledger.give(1, 'tiny', 0, { ask: message.ask });
    }
  };
  ledger.want(1, 'tiny', 1);
  ledger.want(2, 'tiny', 5);
  ledger.want(3, 'tiny', 7);
  await turn();
  assert.ok(!sent.some(({ message }) => message.kind === 'contended'), 'the one of 1 may be idle');
  answer();
  await turn();
  assert.deepEqual(contended(), [
    { worker: 2, kind: 'contended', tier: 'tiny', waiting: 7, events: 0, workers: 1, held: undefined },
    { worker: 3, kind: 'contended', tier: 'tiny', waiting: 5, events: 0, workers: 1, held: undefined },
  ]);
  ledger.give(1, 'tiny', 0, { held: many(400) });
  await turn();
  assert.deepEqual(
    contended().map(({ worker, held }) => [worker, held?.meanMs]),
    [
      [2, 400],
      [3, 400],
    ],
  );
  ledger.give(1, 'tiny', 0, { held: many(480) });
  await turn();
  assert.deepEqual(contended(), [], 'a fifth more is no news');
  ledger.give(1, 'tiny', 0, { held: many(520) });
  await turn();
  assert.deepEqual(
    contended().map(({ worker, held }) => [worker, held?.meanMs]),
    [
      [2, 520],
      [3, 520],
    ],
  );
  // Nobody waits in 2 any more; when somebody does again, it is told anew.
  ledger.want(2, 'tiny', 0);
  await turn();
  assert.deepEqual(
    contended().map(({ worker, waiting }) => [worker, waiting]),
    [[3, 0]],
  );
  ledger.want(2, 'tiny', 5);
  answer();
  await turn();
  assert.deepEqual(
    contended().map(({ worker, waiting, held }) => [worker, waiting, held?.meanMs]),
    [
      [2, 7, 520],
      [3, 5, 520],
    ],
    'who says nothing of it has not forgotten it',
  );
  // Who says what he was told or knows himself hears nothing of it.
  ledger.want(3, 'tiny', 7, { held: many(900) });
  await turn();
  assert.deepEqual(
    contended().map(({ worker, waiting, held }) => [worker, waiting, held?.meanMs]),
    [[2, 7, 900]],
  );
});

test('who will not have his turn in time, because others wait in other workers, is told so at once', async () => {
  const node = new Node();
  const workers = [node.start(), node.start()];
  const hold = async (worker: Worker, ms: number) => {
    const deadline = new Deadline(60_000);
    const slot = (await worker.slots.acquire('tiny', deadline, 'http')) as Slot;
    await sleep(ms);
    deadline.clear();
    return slot;
  };
  const heldMs = 500;
  for (const worker of workers) (await hold(worker, heldMs)).release();
  const takers = [0, 1, 0, 1, 0].map((at) => workers[at]!);
  const held = await Promise.all(takers.map((worker) => hold(worker, 0)));
  // Five slots of 0.5 s: 20 tasks take 2 s, 40 take 4 s.
  const deadlines = workers.flatMap(() => Array.from({ length: 20 }, () => new Deadline(6 * heldMs)));
  const answers = deadlines.map((deadline, at) => workers[at % 2]!.slots.acquire('tiny', deadline, 'http'));
  const saturated = (
    await Promise.all(answers.map((answer) => Promise.race([answer, sleep(heldMs)])))
  ).filter((answer) => answer !== undefined && 'retryAfterSeconds' in answer);
  assert.ok(saturated.length >= 5 && saturated.length <= 25, `${saturated.length} of 40`);
  for (const answer of saturated) assert.ok((answer as { retryAfterSeconds: number }).retryAfterSeconds >= 3);
  for (const deadline of deadlines) deadline.cancel(new Interruption('cancelled', 'x'));
  for (const deadline of deadlines) deadline.clear();
  for (const slot of held) slot.release();
  node.close();
});

test('how long a task takes is known to a worker that has run none', async () => {
  const node = new Node();
  const [busy, fresh] = [node.start(), node.start()];
  const heldMs = 500;
  const holder = new Deadline(60_000);
  const take = () =>
    Promise.all(Array.from({ length: LIMIT }, () => busy.slots.acquire('tiny', holder, 'http')));
  const first = await take();
  await sleep(heldMs);
  for (const slot of first) (slot as Slot).release();
  const held = await take();
  // Five slots of 0.5 s: at most the first six have their turns in time.
  const deadlines = Array.from({ length: 20 }, () => new Deadline(1.2 * heldMs));
  const answers = deadlines.map((deadline) => fresh.slots.acquire('tiny', deadline, 'http'));
  await until(() => fresh.slots.usage().get('tiny')!.waiting <= 6, 'the others are told');
  const refused = await Promise.all(answers.map((answer) => Promise.race([answer, sleep(1)])));
  assert.ok(refused.filter((answer) => answer !== undefined && 'retryAfterSeconds' in answer).length >= 14);
  for (const deadline of deadlines) deadline.cancel(new Interruption('cancelled', 'x'));
  for (const deadline of [...deadlines, holder]) deadline.clear();
  for (const slot of held) (slot as Slot).release();
  node.close();
});

test('a tier that is idle takes a task, however long its slots were held', async () => {
  const node = new Node(1);
  const workers = [node.start(), node.start()];
  for (const { listener } of workers) listener?.({ kind: 'limit', tier: 'tiny', limit: 1 });
  const limitMs = 200;
  const run = async (worker: Worker, ms: number) => {
    const deadline = new Deadline(limitMs);
    const slot = await worker.slots.acquire('tiny', deadline, 'http');
    deadline.clear();
    if (slot === undefined || !('release' in slot)) return slot;
    await sleep(ms);
    slot.release();
    return 'ran';
  };
  // Each of them learns that a slot is held for longer than a task may take.
  for (const worker of workers) assert.equal(await run(worker, 2 * limitMs), 'ran');
  for (let round = 0; round < 3; round++)
    for (const worker of workers) {
      await until(() => node.ledger.held('tiny') === 0, 'the slots are given back');
      assert.equal(await run(worker, 0), 'ran');
    }
  node.close();
});

test('who cannot have a slot in time is told so when all are taken elsewhere, also where nobody else waits', async () => {
  const node = new Node(1);
  const [busy, other] = [node.start(), node.start()];
  other.listener?.({ kind: 'limit', tier: 'tiny', limit: 1 });
  const take = (worker: Worker, deadline: Deadline) => worker.slots.acquire('tiny', deadline, 'http');
  const deadlines = [new Deadline(60_000), new Deadline(60_000), new Deadline(60_000)] as const;
  const first = (await take(other, deadlines[0])) as Slot;
  await sleep(1000);
  first.release();
  const held = (await take(busy, deadlines[0])) as Slot;
  // It hears how long slots are held, and that the only one is taken.
  const patient = take(other, deadlines[1]);
  await sleep(50);
  deadlines[1].cancel(new Interruption('cancelled', 'x'));
  await patient;
  for (let time = 0; time < 2; time++) {
    const hasty = new Deadline(900);
    assert.ok('retryAfterSeconds' in ((await take(other, hasty)) as object));
    hasty.clear();
  }
  held.release();
  for (const deadline of deadlines) deadline.clear();
  node.close();
});

test('who heard of others that wait elsewhere forgets them when it has what it wanted', () => {
  const { slots, hear } = aWorker();
  const [deadline, hasty] = [new Deadline(60_000), new Deadline(1500)];
  void slots.acquire('tiny', deadline, 'http');
  hear({ kind: 'contended', tier: 'tiny', waiting: 50, events: 0, workers: 1, held: many(1000) });
  hear({ kind: 'limit', tier: 'tiny', limit: 2 });
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  assert.equal(slots.turnaroundMs('tiny'), 1000, 'there may be a slot');
  void slots.acquire('tiny', hasty, 'http');
  assert.equal(slots.usage().get('tiny')!.waiting, 1, 'it asks for one');
  for (const one of [deadline, hasty]) {
    one.cancel(new Interruption('cancelled', 'x'));
    one.clear();
  }
  slots.close();
});

test('a first task that took long weighs no more than others, also when the primary has said so again', async () => {
  const node = new Node();
  const [one, other] = [node.start(), node.start()];
  const deadline = new Deadline(60_000);
  const hold = async (worker: Worker, ms: number) => {
    const slot = (await worker.slots.acquire('tiny', deadline, 'http')) as Slot;
    await sleep(ms);
    slot.release();
  };
  const turnaround = ({ slots }: Worker) => slots.turnaroundMs('tiny');
  await hold(one, 1000);
  const first = turnaround(one)!;
  // Slots that are idle go back to the primary, which says how long they were held when it grants them again.
  await until(() => node.ledger.held('tiny') === 0, 'the slots are given back');
  for (let task = 0; task < 7; task++) await hold(one, 0);
  assert.ok(turnaround(one)! < first / 2, `${turnaround(one)} ms, first ${first} ms`);
  await until(() => node.ledger.held('tiny') === 0, 'the slots are given back again');
  await hold(other, 0);
  assert.ok(turnaround(other)! < first / 2, `${turnaround(other)} ms to another worker, first ${first} ms`);
  // One task of a worker is one of the node's, however late it is told.
  await hold(other, 1000);
  await until(() => node.ledger.held('tiny') === 0, 'the slot is given back');
  await hold(one, 0);
  assert.ok(turnaround(one)! < first / 2, `${turnaround(one)} ms after a slow one, first ${first} ms`);
  deadline.clear();
  node.close();
});

test('who waits for a slot that is free has it, also when one came that nobody wanted any more while another was owed', async () => {
  const { slots, hear, given } = aWorker();
  const deadline = new Deadline(60_000);
  const take = () => slots.acquire('tiny', deadline, 'http') as Promise<Slot>;
  const first = take();
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  const busy = await first;
  const impatient = new Deadline(60_000);
  const left = slots.acquire('tiny', impatient, 'http');
  hear({ kind: 'recall', tier: 'tiny', slots: 1, busy: 1 });
  impatient.cancel(new Interruption('cancelled', 'x'));
  await left;
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  assert.deepEqual(given, [1]);
  const second = take();
  busy.release();
  assert.ok(await Promise.race([second, sleep(100)]), 'the slot that is free');
  for (const one of [deadline, impatient]) one.clear();
  slots.close();
});

test('slots that came when nobody wanted them any more are given back, also those beyond one that was owed', async () => {
  const { slots, hear, given } = aWorker();
  const deadline = new Deadline(60_000);
  const first = slots.acquire('tiny', deadline, 'http');
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  const busy = (await first) as Slot;
  hear({ kind: 'recall', tier: 'tiny', slots: 1, busy: 1 });
  hear({ kind: 'grant', tier: 'tiny', slots: 3 });
  await until(() => given.length === 2, 'all that are idle');
  busy.release();
  await until(() => given.length === 3, 'the last one');
  assert.deepEqual(given, [1, 2, 1]);
  deadline.clear();
  slots.close();
});

test('the primary hears how many wait when that grows, when a long queue has halved, and when nobody waits any more', async () => {
  const { slots, hear, wants } = aWorker();
  const deadline = new Deadline(60_000);
  const held: Slot[] = [];
  const wait = () => void slots.acquire('tiny', deadline, 'http').then((slot) => held.push(slot as Slot));
  const upTo = (most: number) => Array.from({ length: most }, (_, n) => n + 1);
  for (let i = 0; i < 17; i++) wait();
  assert.deepEqual(wants.splice(0), upTo(17));
  hear({ kind: 'grant', tier: 'tiny', slots: 1, held: many(800) });
  assert.equal(slots.turnaroundMs('tiny'), 800 + (17 * 800) / LIMIT);
  for (let ended = 0; ended < 17; ended++) {
    await turn();
    held.shift()!.release();
  }
  assert.deepEqual(wants.splice(0), [8, 4, 0]);

  for (let i = 0; i < 3; i++) wait();
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  wait();
  assert.deepEqual(wants.splice(0), [1, 2, 2], 'one had the slot that was kept, and one what came');
  const impatient = new Deadline(60_000);
  const gone = slots.acquire('tiny', impatient, 'http');
  impatient.cancel(new Interruption('cancelled', 'x'));
  await gone;
  hear({ kind: 'grant', tier: 'tiny', slots: 2 });
  assert.deepEqual(wants, [3, 0], 'who went is not waited for');
  impatient.clear();
  deadline.clear();
  slots.close();
});

test('what is recalled is given at once when it is idle, and else when its task ends; others pass their slots on', async () => {
  const { slots, hear, given, wants } = aWorker();
  const deadline = new Deadline(60_000);
  const take = () => slots.acquire('tiny', deadline, 'http') as Promise<Slot>;
  const recall = (busy: number) => hear({ kind: 'recall', tier: 'tiny', slots: 1, busy });
  const held = [take(), take()];
  hear({ kind: 'grant', tier: 'tiny', slots: 3 });
  recall(1);
  assert.deepEqual(given.splice(0), [1], 'the idle one goes');
  const [first, second] = (await Promise.all(held)) as [Slot, Slot];
  const [third, fourth] = [take(), take()];
  first.release();
  assert.deepEqual(given.splice(0), [], 'in the place of a busy one');
  recall(0);
  assert.deepEqual(given.splice(0), [], 'none is idle');
  wants.length = 0;
  recall(1);
  assert.deepEqual(given.splice(0), [0], 'how long a slot is held, for those who wait for it');
  recall(0);
  second.release();
  assert.deepEqual([given.splice(0), wants.splice(0)], [[1], [1]], 'and how many wait here now');
  (await third).release();
  (await fourth).release();
  assert.deepEqual([given, wants], [[], [0]]);
  deadline.clear();
  slots.close();
});

test('as many may wait in a worker as are its share of the node', async () => {
  const { slots, hear } = aWorker({ max_waiting: 3 });
  const deadline = new Deadline(60_000);
  const ask = (tasks: number) => Array.from({ length: tasks }, () => slots.acquire('tiny', deadline, 'http'));
  const answers = ask(3);
  assert.equal(slots.usage().get('tiny')!.waiting, 3, 'who may have a slot at once does not wait');
  hear({ kind: 'contended', tier: 'tiny', waiting: 0, events: 0, workers: 0 });
  assert.deepEqual(await answers[2], { retryAfterSeconds: 1 });
  assert.deepEqual(await ask(1)[0], { retryAfterSeconds: 1 });
  assert.equal(slots.usage().get('tiny')!.waiting, 2);
  deadline.cancel(new Interruption('cancelled', 'x'));
  deadline.clear();
  slots.close();
});

test('as many may ask for slots as the node has, beyond those who may wait', async () => {
  const { slots, hear } = aWorker({ max_waiting: 4 });
  const deadline = new Deadline(60_000);
  const answers = Array.from({ length: LIMIT + 3 }, () => slots.acquire('tiny', deadline, 'http'));
  assert.deepEqual(await answers.at(-1), { retryAfterSeconds: 1 });
  hear({ kind: 'grant', tier: 'tiny', slots: LIMIT });
  assert.deepEqual(slots.usage().get('tiny'), { limit: LIMIT, used: LIMIT, waiting: 2 });
  deadline.cancel(new Interruption('cancelled', 'x'));
  deadline.clear();
  slots.close();
});

test('a burst over all workers has all the slots of the node, wherever they are idle, also when nobody may wait', async () => {
  const limit = 20;
  const random = randomOf(1, 0);
  for (const max_waiting of [0, 4]) {
    const node = new Node(limit, { max_waiting });
    const workers = [node.start(), node.start(), node.start()];
    for (const { listener } of workers) listener?.({ kind: 'limit', tier: 'tiny', limit });
    const deadline = new Deadline(60_000);
    const take = () => workers[Math.floor(random() * 3)]!.slots.acquire('tiny', deadline, 'http');
    for (let round = 0; round < 20; round++) {
      const held = await Promise.all(Array.from({ length: limit }, take));
      assert.ok(
        held.every((slot) => slot !== undefined && 'release' in slot),
        `round ${round}`,
      );
      const more = take();
      if (max_waiting === 0) assert.ok('retryAfterSeconds' in ((await more) as object));
      for (const slot of held) (slot as Slot).release();
      if (max_waiting > 0) ((await more) as Slot).release();
    }
    deadline.clear();
    node.close();
  }
});

test('what was heard of those who wait elsewhere is void when nobody waits here', async () => {
  const { slots, hear } = aWorker();
  const [deadline, impatient] = [new Deadline(60_000), new Deadline(60_000)];
  const take = () => slots.acquire('tiny', deadline, 'http') as Promise<Slot>;
  const first = take();
  hear({ kind: 'limit', tier: 'tiny', limit: 1 });
  hear({ kind: 'grant', tier: 'tiny', slots: 1 });
  hear({ kind: 'contended', tier: 'tiny', waiting: 50, events: 0, workers: 1, held: many(1000) });
  assert.equal(slots.turnaroundMs('tiny'), 3000, 'its own turn, one of another worker, and itself');
  const left = slots.acquire('tiny', impatient, 'http');
  impatient.cancel(new Interruption('cancelled', 'x'));
  await left;
  (await first).release();
  const heldMs = slots.turnaroundMs('tiny')!;
  await take();
  assert.equal(slots.turnaroundMs('tiny'), 2 * heldMs);
  for (const one of [deadline, impatient]) one.clear();
  slots.close();
});

for (const limit of [1, 2, LIMIT]) {
  test(`HTTP callers of one worker go before the events of another one, which have their share of ${limit} slots`, async () => {
    const node = new Node(limit);
    const [asked, consuming] = [node.start(), node.start()];
    const ended = { http: 0, events: 0 };
    let stop = false;
    const load = (worker: Worker, from: 'http' | 'events') =>
      Array.from({ length: 10 }, async () => {
        while (!stop) {
          await worker.run(20, from);
          if (!stop) ended[from]++;
        }
      });
    const loads = [...load(consuming, 'events'), ...load(asked, 'http')];
    try {
      await until(() => ended.http + ended.events >= 100, 'both to run');
      Object.assign(ended, { http: 0, events: 0 });
      await until(() => ended.http + ended.events >= 600, 'many to have run');
    } finally {
      stop = true;
    }
    const share = ended.events / (ended.http + ended.events);
    assert.ok(share > 0.1 && share < 0.3, `${share} of the tasks were events, where 0.2 is their share`);
    // Without HTTP callers events have all.
    await Promise.all(loads);
    const rest = await Promise.all(Array.from({ length: 3 * limit }, () => consuming.run(20, 'events')));
    assert.deepEqual([...new Set(rest)], [true]);
    assert.ok(consuming.peak === limit);
    node.close();
  });
}

test('workers that always want more than there is get as much of it, also of a single slot', async () => {
  for (const limit of [1, 2, 3]) {
    const node = new Node(limit);
    const workers = [node.start(), node.start(), node.start()];
    const ended = [0, 0, 0];
    let stop = false;
    const loads = workers.flatMap((worker, at) =>
      Array.from({ length: 6 }, async () => {
        while (!stop) {
          await worker.run(5);
          ended[at]!++;
        }
      }),
    );
    try {
      await until(() => ended[0]! + ended[1]! + ended[2]! >= 300, 'many to have run');
    } finally {
      stop = true;
    }
    assert.ok(Math.min(...ended) >= 60, `${ended} of ${limit} slots`);
    await Promise.all(loads);
    node.close();
  }
});

test('one slot is passed to and fro between two workers that both want it', async () => {
  const node = new Node(1);
  const workers = [node.start(), node.start()];
  const done = await Promise.all(
    workers.flatMap((worker) => Array.from({ length: 10 }, () => worker.run(1))),
  );
  assert.deepEqual([...new Set(done)], [true]);
  node.close();
});

test.run();

/** The slots of a worker whose primary is the test, and how many it gave back and wanted each time. */
function aWorker(more: Partial<typeof queue> = {}) {
  let hear!: (message: ToWorker) => void;
  const given: number[] = [];
  const wants: number[] = [];
  const slots = new LeasedSlots({ tiny: { ...queue, ...more } }, 2, {
    send: (message) => {
      if (message.kind === 'give') given.push(message.slots);
      if (message.kind === 'want') wants.push(message.slots);
    },
    on: (listener) => {
      hear = listener;
    },
  });
  return { slots, hear, given, wants };
}

/** The primary's books, and what they have the workers told. */
function aLedger(limit: number) {
  const sent: { worker: number; message: Parameters<ConstructorParameters<typeof SlotLedger>[0]>[1] }[] = [];
  const ledger = new SlotLedger((worker, message) => sent.push({ worker, message }));
  ledger.resize('tiny', limit);
  return { ledger, sent };
}

function short({ worker, message }: ReturnType<typeof aLedger>['sent'][number]): string {
  return `${worker} ${message.kind} ${message.kind === 'contended' ? message.waiting : message.slots}`;
}
