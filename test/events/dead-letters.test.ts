import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ConfirmChannel, connect } from 'amqplib';
import { suite } from 'uvu';
import { deadLetterTable } from '../../server/events/dead-letter-table.js';
import { onlyTiny, sleep, until } from '../service/at-service.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { aTinyTask, atBroker, type BrokerUnderTest, modelCalls, queuesAreEmpty } from './at-broker.js';

const test = suite('dead letters');
let rabbit: SharedRabbit;
let under: BrokerUnderTest;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atBroker(rabbit, {
    yaml: `gateway: {max_attempts: 1}\n${onlyTiny(4, 20)}`,
    rabbitmq: ['max_attempts: 2', 'delivery_limit: 1'],
  });
});
test.after(async () => {
  await under.close();
  await rabbit?.close();
});
test.before.each(async () => {
  await under.knobs({});
  await under.orchestrator.take(under.queue('dead'));
  under.orchestrator.seen.length = 0;
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as an operator does, with the service's own configuration. */
function deadLetters(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [command, ...args],
      {
        env: {
          PATH: process.env.PATH,
          CONFIG_FILE: join(under.directory, 'config.yaml'),
          RABBITMQ_HOST: rabbit.url,
          ...env,
        },
      },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

const command = fileURLToPath(new URL('../../server/dead-letters.js', import.meta.url));

async function listed(...args: string[]) {
  const { code, stdout, stderr } = await deadLetters(['list', '--json', ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as {
    queue: string;
    total: number;
    letters: {
      messageId: string;
      taskId?: string;
      queue: string;
      reason: string;
      detail: string;
      attempts: number;
      replays: number;
    }[];
  };
}

/** Waits until so many letters lie there. */
async function letters(count: number) {
  await withChannel((channel) =>
    until(
      async () => (await channel.checkQueue(under.queue('dead'))).messageCount === count,
      `${count} dead letters`,
    ),
  );
  return listed();
}

const outcomesOf = (taskId: string) =>
  under.orchestrator.seen.filter(({ event }) => event.data.task_id === taskId);

/** A task that has failed for good, its message a dead letter. */
async function aFailedTask() {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  await under.orchestrator.ready(task, { messageId: `message-${task.task_id}` });
  await until(() => outcomesOf(task.task_id).length === 1, 'the failure');
  await under.knobs({});
  return task;
}

/** Takes the one letter away, as soon as it is there. */
async function theLetter() {
  await letters(1);
  const [letter] = await under.orchestrator.take(under.queue('dead'));
  return letter!;
}

async function withChannel(use: (channel: ConfirmChannel) => Promise<void>): Promise<void> {
  const model = await connect(rabbit.url);
  await use(await model.createConfirmChannel());
  await model.close();
}

test('list shows what was given up and why, and takes nothing away', async () => {
  const task = await aFailedTask();
  await under.orchestrator.publish('task.ready.tiny', Buffer.from('\u001b[31mnot json'), {
    messageId: 'po\u001bison',
  });
  const { queue, letters: found } = await letters(2);
  assert.equal(queue, under.queue('dead'));
  const [poison, failed] = found.toSorted((a, b) => a.reason.localeCompare(b.reason) * -1);
  assert.deepEqual([poison!.reason, poison!.taskId], ['invalid_request', undefined]);
  assert.deepEqual(
    [failed!.messageId, failed!.taskId, failed!.queue, failed!.reason, failed!.attempts, failed!.replays],
    [`message-${task.task_id}`, task.task_id, under.queue('ready.tiny'), 'gateway_unavailable', 2, 0],
  );
  const table = await deadLetters(['list']);
  assert.match(table.stdout, /^MESSAGE +TASK +QUEUE +REASON +ATTEMPTS +REPLAYS +AGE +BYTES +DETAIL$/m);
  assert.match(table.stdout, /^po\?ison +- .* {2}the body is not valid JSON$/m);
  assert.ok(failed!.detail.length > 0);
  assert.ok(table.stdout.includes(`  ${failed!.detail.slice(0, 99)}`));
  assert.match(table.stdout, /^2 of 2 dead letters in \S+ shown$/m);
  assert.equal((await listed('--limit', '1')).letters.length, 1);
  const both = await listed('po\u001bison', task.task_id, '--limit', '1');
  assert.equal(both.letters.length, 1, 'the other one is found, too');
  assert.equal((await listed('--reason', 'invalid_request')).letters.length, 1);
  assert.equal((await listed()).total, 2);
});

test('the table shows the beginning of a long detail', () => {
  const letter = { messageId: 'm', taskId: 't', queue: 'q', reason: 'r', attempts: 1, replays: 0, bytes: 2 };
  const detailOf = (detail: string | undefined) =>
    deadLetterTable([{ ...letter, at: undefined, detail }])
      .split('  ')
      .at(-1);
  assert.equal(detailOf('x'.repeat(100)), 'x'.repeat(100));
  assert.equal(detailOf('x'.repeat(101)), `${'x'.repeat(99)}…`);
  assert.equal(detailOf(undefined), '-');
});

test('a task that failed for good succeeds when it is replayed, and its end has a new id', async () => {
  const task = await aFailedTask();
  await letters(1);
  const { code, stdout } = await deadLetters(['replay', task.task_id]);
  assert.equal(code, 0);
  assert.match(stdout, /1 of 1 dead letters in \S+ replayed/);
  await until(() => outcomesOf(task.task_id).length === 2, 'the second end');
  const [failure, success] = outcomesOf(task.task_id).map(({ event }) => event);
  assert.deepEqual([failure.data.status, success.data.status], ['failed', 'completed']);
  assert.notEqual(success.id, failure.id);
  assert.equal((await under.ask('GET', `/tasks/${task.task_id}`)).body.status, 'completed');
  assert.equal((await listed()).total, 0);
});

test('a message whose time was over is executed when an operator replays it', async () => {
  const task = aTinyTask();
  await under.orchestrator.ready(task, {
    expiration: '60000',
    timestamp: Math.floor(Date.now() / 1000) - 120,
    headers: { 'x-expires-at': Date.now() - 60_000 },
  });
  const [expired] = (await letters(1)).letters;
  assert.equal(expired!.reason, 'deadline_exceeded');
  await deadLetters(['replay', task.task_id]);
  await until(() => outcomesOf(task.task_id).length === 2, 'the second end');
  assert.equal(outcomesOf(task.task_id)[1]!.event.data.status, 'completed');
  assert.equal((await listed()).total, 0);
});

test('a task that fails again comes back once, with its count of replays, and may be replayed again', async () => {
  const task = await aFailedTask();
  await letters(1);
  await under.knobs({ status: 503 });
  await deadLetters(['replay', '--all']);
  await until(() => outcomesOf(task.task_id).length === 2, 'the second failure');
  assert.equal(await modelCalls(under, task.task_id), 4);
  const [again] = (await letters(1)).letters;
  assert.deepEqual([again!.taskId, again!.replays, again!.attempts], [task.task_id, 1, 2]);
  await under.knobs({});
  await deadLetters(['replay', again!.messageId]);
  await until(() => outcomesOf(task.task_id).length === 3, 'the success');
  const ids = outcomesOf(task.task_id).map(({ event }) => event.id);
  assert.equal(new Set(ids).size, 3);
  assert.equal((await listed()).total, 0);
});

test('a replayed message that is delivered twice is executed once', async () => {
  const task = await aFailedTask();
  const letter = await theLetter();
  await under.knobs({ ttftMs: 200 });
  const before = await modelCalls(under, task.task_id);
  const { contentType, messageId } = letter.properties;
  const copy = () =>
    under.orchestrator.publish('task.ready.tiny', letter.content, {
      contentType,
      messageId,
      headers: { 'x-replay': 1 },
    });
  await Promise.all([copy(), copy(), under.orchestrator.ready(task)]);
  await until(() => outcomesOf(task.task_id).length === 2, 'the second end');
  await copy();
  await sleep(500);
  assert.equal((await modelCalls(under, task.task_id)) - before, 1);
  assert.equal(new Set(outcomesOf(task.task_id).map(({ event }) => event.id)).size, 2);
});

test('a replayed task keeps its new life when it comes again by HTTP', async () => {
  const task = await aFailedTask();
  const letter = await theLetter();
  await under.knobs({ script: [{ status: 503 }] });
  await under.orchestrator.publish('task.ready.tiny', letter.content, {
    contentType: letter.properties.contentType,
    headers: { 'x-replay': 1 },
  });
  // Its first attempt fails, and the message waits for the second one.
  await until(async () => (await modelCalls(under, task.task_id)) === 3, 'the attempt that fails');
  await until(
    async () => (await under.ask('GET', `/tasks/${task.task_id}`)).body.status === 'queued',
    'its wait',
  );
  assert.equal((await under.execute(task)).status, 200);
  await until(() => outcomesOf(task.task_id).length === 2, 'the success');
  const [failure, success] = outcomesOf(task.task_id).map(({ event }) => event);
  assert.notEqual(success.id, failure.id);
});

test('headers that fill a frame do not make a replayed task forget which life it is in', async () => {
  await under.knobs({ status: 503 });
  const task = aTinyTask();
  await under.orchestrator.ready(task, { headers: { filler: 'x'.repeat(60_000) } });
  for (const replays of [0, 1]) {
    assert.equal((await letters(1)).letters[0]!.replays, replays);
    await deadLetters(['replay', '--all']);
    await until(() => outcomesOf(task.task_id).length === replays + 2, 'another end');
  }
  await letters(1);
  assert.equal(await modelCalls(under, task.task_id), 6);
});

test('poison stays poison: replayed, it comes back once', async () => {
  const wrong = { ...aTinyTask(), surprise: 1 };
  await under.orchestrator.publish('task.ready.tiny', Buffer.from(JSON.stringify(wrong)));
  await until(() => outcomesOf(wrong.task_id).length === 1, 'its failure');
  await letters(1);
  const before = (await under.stats()).calls;
  assert.match((await deadLetters(['replay', '--all'])).stdout, /1 of 1 .* replayed/);
  const [again] = (await letters(1)).letters;
  await sleep(300);
  assert.deepEqual([again!.reason, again!.replays, (await listed()).total], ['invalid_request', 1, 1]);
  assert.equal((await under.stats()).calls, before);
  assert.equal(new Set(outcomesOf(wrong.task_id).map(({ event }) => event.id)).size, 1);
});

test('what the broker gave up at its delivery limit is executed when it is replayed', async () => {
  const task = aTinyTask();
  await under.stop();
  await under.orchestrator.ready(task);
  await withChannel(async (channel) => {
    for (;;) {
      const message = await channel.get(under.queue('ready.tiny'));
      if (message === false) break;
      channel.nack(message);
    }
  });
  const [letter] = (await letters(1)).letters;
  assert.deepEqual(
    [letter!.reason, letter!.queue, letter!.taskId],
    ['delivery_limit', under.queue('ready.tiny'), task.task_id],
  );
  await under.restart();
  const { code, stderr } = await deadLetters(['replay', '--reason', 'delivery_limit']);
  assert.equal(code, 0, stderr);
  await until(() => outcomesOf(task.task_id).length === 1, 'the outcome');
  assert.equal(outcomesOf(task.task_id)[0]!.event.data.status, 'completed');
  assert.equal((await listed()).total, 0);
});

test('a letter whose queue is gone stays, with a clear error', async () => {
  const headers = { 'x-queue': 'no.such.queue', 'x-reason': 'invalid_request' };
  await withChannel(async (channel) => {
    channel.sendToQueue(under.queue('dead'), Buffer.from('{}'), { messageId: 'lost', headers });
    channel.sendToQueue(under.queue('dead'), Buffer.from('{}'), { messageId: 'bare' });
    await channel.waitForConfirms();
  });
  await letters(2);
  const { code, stderr, stdout } = await deadLetters(['replay', '--all']);
  assert.equal(code, 1);
  assert.match(stdout, /^0 of 2 dead letters/m);
  assert.match(stderr, /not replayed: lost \(-\): there is no queue no\.such\.queue/);
  assert.match(stderr, /not replayed: bare \(-\): nothing in its headers says/);
  assert.equal((await letters(2)).total, 2);
});

test('drop takes those away that are named, and --dry-run none', async () => {
  const task = await aFailedTask();
  await under.orchestrator.publish('task.ready.tiny', Buffer.from('{'), { messageId: 'poison' });
  await letters(2);
  const dry = await deadLetters(['drop', '--all', '--dry-run']);
  assert.match(dry.stdout, /2 of 2 .* to be dropped/);
  assert.equal((await letters(2)).total, 2);
  assert.equal((await deadLetters(['drop', 'poison'])).code, 0);
  assert.deepEqual(
    (await letters(1)).letters.map(({ taskId }) => taskId),
    [task.task_id],
  );
  const { code, stderr } = await deadLetters(['drop', 'poison']);
  assert.deepEqual([code, stderr.trim()], [1, 'not found: poison']);
  assert.equal((await deadLetters(['drop', '--reason', 'gateway_unavailable'])).code, 0);
  assert.equal((await listed()).total, 0);
});

test('wrong usage ends with 2, what cannot be done with 1, and help with 0', async () => {
  for (const args of [
    [],
    ['replay'],
    ['burn', '--all'],
    ['drop', '--all', 'id'],
    ['list', '--limit', '0'],
    ['list', '--x'],
  ])
    assert.equal((await deadLetters(args)).code, 2, args.join(' '));
  const help = await deadLetters(['--help']);
  assert.deepEqual([help.code, help.stderr], [0, '']);
  assert.match(help.stdout, /replay task-123/);
  const unreachable = await deadLetters(['list'], { RABBITMQ_HOST: '127.0.0.1:9' });
  assert.equal(unreachable.code, 1);
  assert.match(unreachable.stderr, /ECONNREFUSED/);
  const unset = await deadLetters(['list'], { RABBITMQ_HOST: '' });
  assert.deepEqual(
    [unset.code, unset.stderr.trim()],
    [1, 'failed: no broker is configured: set RABBITMQ_HOST'],
  );
});

test('at the end every queue is empty', async () => {
  await queuesAreEmpty(rabbit, under, ['dead']);
});

test.run();
