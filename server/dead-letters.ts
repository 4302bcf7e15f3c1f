import { parseArgs } from 'node:util';
import type { ConfirmChannel, GetMessage } from 'amqplib';
import { ConfigError, loadConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { domainNames } from '../domains/registry.js';
import { connectOnce } from './events/connection.js';
import { deadLetterTable, shown } from './events/dead-letter-table.js';
import { type DeadLetter, deadLettersOf, isSelected, replay, type Selection } from './events/dead-letters.js';
import { namesOf } from './events/topology.js';

const past = { list: 'shown', replay: 'replayed', drop: 'dropped' } as const;

const usage = `Usage: npm run dead-letters -- list|replay|drop [options] [ID…]

  list              shows dead letters, and takes nothing away
  replay            sends them back to their queues, to be executed again
  drop              removes them for good

  ID                a task_id or a message id
  --all             all of them (replay, drop)
  --reason REASON   those with this reason, as list shows it
  --dry-run         shows what would be replayed or dropped, and does nothing
  --limit N         how many are shown at most; default 100
  --json            JSON in place of a table
  --config PATH     the configuration of the service; its environment variables count as well
  --help

  npm run dead-letters -- list --reason gateway_unavailable
  npm run dead-letters -- replay task-123 task-124
  npm run dead-letters -- replay --reason delivery_limit --dry-run
  npm run dead-letters -- drop --all

A letter that fails again comes back, with its count of replays. One whose sender's time is over (expirytime) fails again.
Exit code: 0 done, 1 failed in part or whole, 2 wrong usage.
`;

async function main(args: readonly string[]): Promise<number> {
  let order: Order | 'help';
  try {
    order = orderOf(args);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (order === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  try {
    const config = loadConfig({ env: process.env, argv: args, domains: domainNames });
    return await carryOut(order, config);
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigError ? error.message : `failed: ${reasonOf(error)}`}\n`);
    return 1;
  }
}

interface Order {
  readonly command: keyof typeof past;
  readonly selection: Selection;
  readonly dryRun: boolean;
  readonly limit: number;
  readonly json: boolean;
}

/** @throws {Error} when the arguments make no order. */
function orderOf(args: readonly string[]): Order | 'help' {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      all: { type: 'boolean', default: false },
      reason: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      limit: { type: 'string', default: '100' },
      json: { type: 'boolean', default: false },
      config: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const [command, ...ids] = positionals;
  const selection = { ids: new Set(ids), reason: values.reason };
  const order = { selection, dryRun: values['dry-run'], limit: Number(values.limit), json: values.json };
  if (values.help) return 'help';
  if (command !== 'list' && command !== 'replay' && command !== 'drop')
    throw new Error(command === undefined ? 'what is to be done?' : `there is no command ${command}`);
  if (!Number.isSafeInteger(order.limit) || order.limit < 1)
    throw new Error('--limit must be a whole number, 1 or more');
  const isNamed = ids.length > 0 || values.reason !== undefined;
  if (values.all && ids.length > 0) throw new Error('--all and ids exclude each other');
  if (command !== 'list' && !isNamed && !values.all)
    throw new Error(`which ones? ${command} takes ids, --reason or --all`);
  return { ...order, command };
}

async function carryOut(order: Order, { rabbitmq }: Config): Promise<number> {
  if (rabbitmq.host === undefined) throw new Error('no broker is configured: set RABBITMQ_HOST');
  const queue = namesOf(rabbitmq).dead;
  const model = await connectOnce(rabbitmq, 'worker-service dead-letters');
  model.on('error', () => {}); // whoever waits for the broker hears of it
  try {
    const channel = await model.createConfirmChannel();
    channel.on('error', () => {});
    const { messageCount: total } = await channel.checkQueue(queue);
    const handled = await handleAll(order, channel, queue, rabbitmq.confirm_timeout_ms);
    // What was read and not acked returns to the queue. Acks that a connection is closed upon may be lost, those of
    // a channel that is closed first are not (seen in RabbitMQ 3.10).
    await channel.close();
    await model.close();
    report(order, { queue, total, ...handled });
    return handled.failures.length > 0 || handled.missing.length > 0 ? 1 : 0;
  } catch (error) {
    await model.close().catch(() => {});
    throw error;
  }
}

interface Handled {
  readonly count: number;
  /** The first of them, as many as are shown. */
  readonly letters: readonly DeadLetter[];
  readonly failures: readonly { readonly letter: DeadLetter; readonly error: string }[];
  /** Ids that no letter has. */
  readonly missing: readonly string[];
}

async function handleAll(
  order: Order,
  channel: ConfirmChannel,
  queue: string,
  confirmTimeoutMs: number,
): Promise<Handled> {
  const { command, selection, dryRun, limit } = order;
  const letters: DeadLetter[] = [];
  const failures: { letter: DeadLetter; error: string }[] = [];
  const missing = new Set(selection.ids);
  let count = 0;
  const isEnough = () => command === 'list' && count >= limit;
  const act = async (found: { letter: DeadLetter; message: GetMessage }) => {
    if (dryRun || command === 'list') return;
    if (command === 'drop') channel.ack(found.message);
    else await replay(channel, found, confirmTimeoutMs);
  };
  for await (const found of deadLettersOf(channel, queue)) {
    const { letter } = found;
    if (!isSelected(letter, selection)) continue;
    for (const id of [letter.messageId, letter.taskId]) if (id !== undefined) missing.delete(id);
    if (isEnough()) continue;
    try {
      await act(found);
      count++;
      if (letters.length < limit) letters.push(letter);
    } catch (error) {
      failures.push({ letter, error: reasonOf(error) });
    }
    // An id that was named may stand behind those that are shown.
    if (isEnough() && missing.size === 0) break;
  }
  return { count, letters, failures, missing: [...missing] };
}

function report(order: Order, { queue, total, count, letters, failures, missing }: Handled & Found): void {
  const { command, dryRun, json } = order;
  const done = `${dryRun ? 'to be ' : ''}${past[command]}`;
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ queue, total, [done.replaceAll(' ', '_')]: count, letters, failures, missing })}\n`,
    );
    return;
  }
  if (letters.length > 0) process.stdout.write(`${deadLetterTable(letters)}\n`);
  process.stdout.write(`${count} of ${total} dead letters in ${queue} ${done}\n`);
  for (const { letter, error } of failures)
    process.stderr.write(`not ${done}: ${shown(letter.messageId)} (${shown(letter.taskId)}): ${error}\n`);
  if (missing.length > 0) process.stderr.write(`not found: ${missing.join(', ')}\n`);
}

interface Found {
  readonly queue: string;
  readonly total: number;
}

function reasonOf(error: unknown): string {
  const { message, code } = error as Error & { code?: unknown };
  return message || String(code ?? error);
}

process.exitCode = await main(process.argv.slice(2));
