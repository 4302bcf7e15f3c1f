import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Options } from 'amqplib';
import connect from 'postgres';
import { Agent, request } from 'undici';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import type { GatewayKnobsInput } from '../../bench/simulators/gateway-knobs.js';
import { randomOf } from '../../bench/simulators/random.js';
import { openLmdbStore } from '../../server/store/lmdb.js';
import { aReadyEvent, aTinyTask, queuesAreEmpty } from '../events/at-broker.js';
import { atNodes, type NodesUnderTest, type ServiceNode } from '../faults/at-nodes.js';
import { type Answer, deltasOf, eventsOf, sleep, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { tell } from '../tell.js';
import { effort, seed } from './effort.js';
import { artifactIdOf, type Body, TaskModel } from './task-model.js';

/** All that may be done with a few task ids, at once and anywhere, against a model of what may come of it. */
const test = suite(`random interleavings, seed ${seed}`);
const CHAPTERS = effort;
const CHAPTER_MS = 4000;
const TASKS_ALIVE = 6;
const SLOTS = 4;
const settings = {
  yaml: [
    `queues: {tiny: {concurrency: ${SLOTS}, timeout: 30}}`,
    'gateway: {max_attempts: 2, backoff_base_ms: 20, backoff_max_ms: 50, breaker_failures: 1000000, pause_max_ms: 200}',
  ].join('\n'),
};
/** What the model does for a while. */
const moods: readonly GatewayKnobsInput[] = [
  { ttftMs: 20 },
  { ttftMs: 100, chunks: 10 },
  { ttftMs: 300, chunks: 10 },
  { ttftMs: 50, chunks: 10, tokensPerSecond: 500 },
  { ttftMs: 50, chunks: 10, tokensPerSecond: 250 },
  { ttftMs: 1500 },
  { ttftMs: 100, errorRate: 0.5 },
  { status: 500 },
  { status: 429, retryAfterSeconds: 1 },
  { ttftMs: 50, chunks: 8, cutAfterChunks: 3 },
  { ttftMs: 50, chunks: 8, errorInStreamAfterChunks: 3 },
  { ttftMs: 50, invalidOutput: 'wrong_shape' },
  { ttftMs: 50, refusal: 'no' },
  { ttftMs: 200, script: [{ status: 503 }, {}, { cutAfterChunks: 1 }, {}, { refusal: 'no' }, {}] },
];

type Operation = (typeof operations)[number]['name'];
const operations = [
  { weight: 30, name: 'execute' },
  { weight: 10, name: 'ready' },
  { weight: 6, name: 'ready and execute' },
  { weight: 4, name: 'delete' },
  { weight: 2, name: 'cancelled' },
  { weight: 24, name: 'look' },
] as const;
const preferences: readonly Readonly<Record<string, string>>[] = [
  {},
  {},
  { accept: 'text/event-stream' },
  { accept: 'text/event-stream' },
  { prefer: 'respond-async' },
];

let rabbit: SharedRabbit;
let postgres: PostgresServer;
test.before(async () => {
  [rabbit, postgres] = await Promise.all([sharedRabbit(), startPostgres()]);
});
test.after(async () => {
  await rabbit?.close();
  await postgres.close();
});

test('two nodes of two workers with PostgreSQL: a task has one end, which everybody is told of', async () => {
  const under = await atNodes(rabbit, { ...settings, databaseUrl: postgres.url });
  const sql = connect(postgres.url);
  try {
    const history = new History(under, 2);
    await history.live();
    await until(
      async () => (await sql`select from worker_service.unpublished`).length === 0,
      'every outcome is published',
    );
    assert.equal((await sql`select from worker_service.leases`).length, 0);
    await history.stop();
  } finally {
    await sql.end();
    await under.close();
  }
});

test('one node of two workers with LMDB: a task has one end, which everybody is told of', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'worker-interleavings-'));
  const under = await atNodes(rabbit, settings);
  try {
    const history = new History(under, 1, { DATA_DIR: directory });
    await history.live();
    await history.stop();
    const store = await openLmdbStore({ directory });
    assert.deepEqual(await store.unpublished(10), []);
    await store.close();
  } finally {
    await under.close();
    rmSync(directory, { recursive: true });
  }
});

test.run();

/** What happens to some nodes, and what is known of it. */
class History {
  readonly #under: NodesUnderTest;
  readonly #env: Readonly<Record<string, string>>;
  readonly #size: number;
  readonly #nodes: ServiceNode[] = [];
  readonly #random = randomOf(seed, 1);
  readonly #models = new Map<string, TaskModel>();
  /** Those of the present chapter. */
  #open: TaskModel[] = [];
  readonly #underWay = new Set<Promise<void>>();
  readonly #counts: Record<string, number> = {};
  /** Nodes that were told to stop, by their URL. */
  readonly #ending = new Map<string, 'stopping' | 'stopped'>();
  /** What was not answered, and should have been. */
  readonly #unanswered: string[] = [];
  /** A connection for each request, which reaches either worker. */
  readonly #agent = new Agent({ pipelining: 0 });
  #eventsRead = 0;

  /** @param size in nodes */
  constructor(under: NodesUnderTest, size: number, env: Readonly<Record<string, string>> = {}) {
    this.#under = under;
    this.#size = size;
    this.#env = env;
  }

  /** Lives through all chapters. @throws {AssertionError} when something was that cannot be. */
  async live(): Promise<void> {
    this.#nodes.push(...(await Promise.all(Array.from({ length: this.#size }, () => this.#startNode()))));
    for (let chapter = 0; chapter < CHAPTERS; chapter++) {
      await this.#turmoil();
      await this.#settle();
      await this.#review();
    }
    await queuesAreEmpty(rabbit, this.#under, ['dead']);
    await this.#review();
    await this.#useAllSlots();
    tell({ tasks: this.#models.size, ...this.#counts });
  }

  async stop(): Promise<void> {
    for (const node of this.#nodes) assert.equal(await node.stop(), 0);
    await this.#agent.close();
  }

  /** Does everything for a while, at least until what was begun with the nodes is done. */
  async #turmoil(): Promise<void> {
    const end = Date.now() + CHAPTER_MS;
    const disturbed = this.#repeat(
      () => Date.now() < end,
      () => 500 + this.#below(1500),
      () => this.#disturbNode(this.#below(this.#size)),
    );
    let isDisturbed = true;
    void disturbed.finally(() => {
      isDisturbed = false;
    });
    const lasts = () => isDisturbed || Date.now() < end;
    const alive: { model: TaskModel; left: number }[] = [];
    await Promise.all([
      disturbed,
      this.#repeat(
        lasts,
        () => this.#below(600),
        () => this.#under.knobs(this.#oneOf(moods)),
      ),
      this.#repeat(
        lasts,
        () => this.#below(40),
        async () => {
          const at = this.#below(TASKS_ALIVE);
          if ((alive[at]?.left ?? 0) === 0) alive[at] = { model: this.#aTask(), left: 6 + this.#below(18) };
          alive[at]!.left--;
          this.#operate(alive[at]!.model);
        },
      ),
    ]);
  }

  async #repeat(lasts: () => boolean, pause: () => number, action: () => Promise<void>): Promise<void> {
    while (lasts()) {
      await action();
      await sleep(pause());
    }
  }

  /** Brings every task to an end; those that the broker has taken come to one by themselves. */
  async #settle(): Promise<void> {
    await this.#under.knobs({});
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    await this.#haveEvents(this.#open.filter(({ taken, sent }) => taken && sent.size === 1));
    for (const model of this.#open) {
      const sent = model.sent.size === 0 ? model.bodies.slice(0, 1) : [...model.sent];
      for (let tries = 0; !model.isFinal && tries < 10; tries++)
        for (const body of sent) await this.#execute(model, body, this.#nodes[0]!.url);
      assert.ok(model.isFinal, `${model.taskId} does not end\n${model.journal.join('\n')}`);
    }
    await this.#haveEvents(this.#open);
    for (const model of this.#open) {
      for (const { url } of this.#nodes) await this.#look(model, url);
      model.close();
    }
  }

  async #haveEvents(models: readonly TaskModel[]): Promise<void> {
    const without = () => {
      this.#readEvents();
      return models.filter(({ hasEvent }) => !hasEvent);
    };
    await until(() => without().length === 0, 'each task has its event').catch((error: Error) => {
      throw new Error(
        `${error.message}\n${without()
          .map(({ taskId, journal }) => [taskId, ...journal].join('\n'))
          .join('\n\n')}`,
      );
    });
  }

  /** Holds the calls of the model and the dead letters against the models, and tells of all faults. */
  async #review(): Promise<void> {
    this.#readEvents();
    for (const { content, properties } of await this.#under.orchestrator.take(
      `${this.#under.names.queuePrefix}.dead`,
    )) {
      const letter = JSON.parse(content.toString());
      this.#count('dead letters');
      this.#models
        .get((letter.data ?? letter).task_id)!
        .deadLetter(String(properties.headers?.['x-reason']), letter);
    }
    const { lastCalls, maxOpen } = await this.#under.stats();
    assert.ok(maxOpen <= this.#size * SLOTS, `${maxOpen} calls of the model at once`);
    assert.deepEqual(this.#unanswered, []);
    for (const model of this.#open) model.calls(lastCalls.filter(({ task }) => task === model.taskId));
    this.#open = [];
    const faulty = [...this.#models.values()].filter(({ faults }) => faults.length > 0);
    const stories = faulty.map(({ faults, journal }) => [...faults, ...journal].join('\n'));
    assert.equal(stories.length, 0, `${stories.length} tasks\n${stories.join('\n\n')}`);
  }

  /** A slot that was never given back would be missing now. */
  async #useAllSlots(): Promise<void> {
    await this.#under.knobs({ ttftMs: 60_000 });
    const tasks = this.#nodes.flatMap(({ url }) =>
      Array.from({ length: SLOTS }, () => ({ url, ...aTinyTask() })),
    );
    const answers = tasks.map(({ url, ...task }) => this.#ask('POST', `${url}/execute`, { body: task }));
    await until(async () => (await this.#under.stats()).open === tasks.length, 'all slots are in use');
    for (const { url, task_id } of tasks) await this.#ask('DELETE', `${url}/tasks/${task_id}`);
    for (const answer of await Promise.all(answers)) assert.equal(answer?.body.code, 'cancelled');
  }

  #aTask(): TaskModel {
    const task = aTinyTask();
    // Most have one body only, of which more can be said.
    const others = this.#chance(0.3) ? [{ ...task, description: 'Create something else' }] : [];
    const model = new TaskModel(task.task_id, [task, ...others]);
    this.#models.set(task.task_id, model);
    this.#open.push(model);
    return model;
  }

  /** Does something with a task, and does not wait for what comes of it. */
  #operate(model: TaskModel): void {
    this.#readEvents();
    let at = this.#below(operations.reduce((sum, { weight }) => sum + weight, 0));
    const { name } = operations.find(({ weight }) => {
      at -= weight;
      return at < 0;
    })!;
    this.#count(name);
    const body = this.#chance(0.3) ? model.bodies.at(-1)! : model.bodies[0]!;
    const nodes = this.#nodes.filter(({ url }) => this.#ending.get(url) !== 'stopped');
    const node = this.#oneOf(nodes.length > 0 ? nodes : this.#nodes);
    for (const done of this.#begin(name, model, body, node.url)) {
      this.#underWay.add(done);
      void done.then(() => this.#underWay.delete(done));
    }
  }

  #begin(name: Operation, model: TaskModel, body: Body, url: string): Promise<void>[] {
    switch (name) {
      case 'execute': {
        const headers = this.#oneOf(preferences);
        const leaves = this.#chance(0.3) ? AbortSignal.timeout(this.#below(400)) : undefined;
        return [this.#execute(model, body, url, headers, leaves)];
      }
      case 'ready':
        return Array.from({ length: this.#chance(0.3) ? 3 : 1 }, () => this.#publish(model, body));
      case 'ready and execute':
        return [this.#publish(model, body), this.#execute(model, body, url)];
      case 'delete':
        return [this.#delete(model, url)];
      case 'cancelled':
        return [this.#cancel(model)];
      case 'look':
        return [this.#look(model, url)];
    }
  }

  async #execute(
    model: TaskModel,
    body: Body,
    url: string,
    headers: Readonly<Record<string, string>> = {},
    signal?: AbortSignal,
  ): Promise<void> {
    model.sent.add(body);
    if (headers.prefer !== undefined) model.queued = true;
    const sent = model.now(`execute ${Object.values(headers)}${signal === undefined ? '' : ' for a while'}`);
    const answer = await this.#ask('POST', `${url}/execute`, { body: body.task, headers, signal });
    if (answer === undefined) return;
    if (answer.body !== undefined) return model.executed(body, sent, answer.status, answer.body);
    const events = eventsOf(answer.text);
    const last = events.at(-1);
    if (last?.event !== 'completed' && last?.event !== 'failed') {
      this.#unanswered.push(`a stream of ${model.taskId} without an end: ${answer.text}`);
      return;
    }
    model.executed(body, sent, answer.status, last.data);
    const shown = deltasOf(events.slice(events.findLastIndex(({ event }) => event === 'reset') + 1));
    if (last.event === 'completed' && shown !== '') model.shown(shown, last.data);
  }

  async #publish(model: TaskModel, body: Body): Promise<void> {
    model.sent.add(body);
    model.queued = true;
    const hurry = this.#chance(0.15);
    if (hurry) model.impatient = true;
    const expirytime = new Date(Date.now() + this.#below(3000)).toISOString();
    const event = { ...aReadyEvent(body.task), ...(hurry && { expirytime }) } as Record<string, unknown>;
    const { data, ...attributes } = event;
    const inHeaders = Object.entries(attributes).map(([name, value]) => [`cloudEvents:${name}`, value]);
    const [content, options] = this.#oneOf<[unknown, Options.Publish]>([
      [event, { contentType: 'application/cloudevents+json' }],
      [data, { contentType: 'application/json', headers: Object.fromEntries(inHeaders) }],
      [data, {}],
    ]);
    model.now('ready');
    await this.#under.orchestrator.publish('task.ready.tiny', Buffer.from(JSON.stringify(content)), options);
    model.taken = true;
  }

  async #delete(model: TaskModel, url: string): Promise<void> {
    model.cancelled = true;
    const sent = model.now('delete');
    const answer = await this.#ask('DELETE', `${url}/tasks/${model.taskId}`);
    if (answer !== undefined) model.deleted(sent, answer.status, answer.body);
  }

  async #cancel(model: TaskModel): Promise<void> {
    model.cancelled = true;
    model.now('cancelled');
    const { taskId: task_id } = model;
    await this.#under.orchestrator.publish('task.cancelled', Buffer.from(JSON.stringify({ task_id })));
  }

  async #look(model: TaskModel, url: string): Promise<void> {
    const { taskId } = model;
    const sent = model.now('look');
    const [status, receipt, artifact] = await Promise.all([
      this.#ask('GET', `${url}/tasks/${taskId}`),
      this.#ask('GET', `${url}/tasks/${taskId}/receipt`),
      this.#ask('GET', `${url}/artifacts/${artifactIdOf(taskId)}`),
    ]);
    if (status !== undefined) model.status(sent, status.status, status.body);
    if (receipt !== undefined) model.receipt(sent, receipt.status, receipt.body);
    if (artifact !== undefined) model.artifact(sent, artifact.status, artifact.body);
  }

  /** Undefined when there is no answer: the caller has left, or the node is not there. */
  async #ask(
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    { body, headers, signal }: { body?: object; headers?: object; signal?: AbortSignal | undefined } = {},
  ): Promise<Answer | undefined> {
    try {
      const answer = await request(url, {
        method,
        dispatcher: this.#agent,
        headers: { 'content-type': 'application/json', ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal !== undefined && { signal }),
      });
      const text = await answer.body.text();
      const isJson = String(answer.headers['content-type']).includes('json');
      return {
        status: answer.statusCode,
        headers: answer.headers,
        text,
        body: isJson ? JSON.parse(text) : undefined,
      };
    } catch (error) {
      this.#count(signal?.aborted ? 'callers who left' : 'requests without an answer');
      // A reload fails none, a stop those that come too late.
      if (!signal?.aborted && !this.#ending.has(new URL(url).origin))
        this.#unanswered.push(`${method} ${url}: ${error}`);
      return undefined;
    }
  }

  async #disturbNode(at: number): Promise<void> {
    const node = this.#nodes[at]!;
    const reload = this.#chance(0.5);
    this.#count(reload ? 'reloads' : 'restarts');
    if (reload) {
      process.kill(node.pid, 'SIGHUP');
      return;
    }
    this.#ending.set(node.url, 'stopping');
    assert.equal(await node.stop(), 0);
    this.#ending.set(node.url, 'stopped');
    this.#nodes[at] = await this.#startNode();
  }

  #startNode(): Promise<ServiceNode> {
    return this.#under.start({ env: { WORKERS: '2', GRACE_PERIOD_MS: '500', ...this.#env } });
  }

  #readEvents(): void {
    for (const seen of this.#under.orchestrator.seen.slice(this.#eventsRead))
      this.#models.get(seen.event.data.task_id)!.event(seen);
    this.#eventsRead = this.#under.orchestrator.seen.length;
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #oneOf<T>(list: readonly T[]): T {
    return list[this.#below(list.length)]!;
  }
}
