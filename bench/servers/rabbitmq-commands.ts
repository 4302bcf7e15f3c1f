import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { ensureInstalled } from './debian.js';

/** What is asked of a broker beside AMQP. */
export interface RabbitCommands {
  /** Runs rabbitmqctl; resolves to what it printed. */
  control(...args: string[]): Promise<string>;
  /** Evaluates an Erlang expression, which ends with a full stop, in the broker; resolves to `{ok, Value}`, rejects what fails. */
  evaluate(expression: string): Promise<string>;
  /** Messages ready and unacked, by queue. */
  queues(): Promise<ReadonlyMap<string, QueueCounts>>;
  /** All that consume. */
  consumers(): Promise<readonly Consumer[]>;
}

export interface Consumer {
  readonly queue: string;
  readonly prefetch: number;
}

export interface QueueCounts {
  readonly ready: number;
  readonly unacked: number;
  readonly consumers: number;
}

export const NODE = 'test@localhost';

/** What `rabbitmqctl list_queues` asks the broker. */
const QUEUES = `[lists:flatten(io_lib:format("~ts ~w ~w ~w", [Name, Ready, Unacked, Consumers])) ||
  [{_, {resource, _, _, Name}}, {_, Ready}, {_, Unacked}, {_, Consumers}] <-
    rabbit_amqqueue:info_all(<<"/">>, [name, messages_ready, messages_unacknowledged, consumers])].`;

const CONSUMERS = `[lists:flatten(io_lib:format("~ts ~w", [Name, Prefetch])) ||
  Consumer <- rabbit_amqqueue:consumers_all(<<"/">>),
  {queue_name, {resource, _, _, Name}} <- Consumer, {prefetch_count, Prefetch} <- Consumer].`;

/** The commands of a broker that runs as `NODE`, with the environment that it was started with. */
export function rabbitCommands(env: Readonly<Record<string, string | undefined>>): RabbitCommands {
  const commands: RabbitCommands = {
    async control(...args) {
      const { stdout } = await promisify(execFile)(rabbitCommand('rabbitmqctl'), ['-q', ...args], {
        env,
        timeout: 60_000,
      });
      return stdout;
    },

    // Not by rabbitmqctl, which starts an Erlang of its own each time: that takes a second of a core.
    async evaluate(expression) {
      const asked = promisify(execFile)(erlangCommand('erl_call'), ['-R', '-sname', NODE, '-e'], {
        env,
        timeout: 60_000,
        maxBuffer: 2 ** 24,
      });
      // What it ends of is told by its exit.
      asked.child.stdin!.on('error', () => {});
      asked.child.stdin!.end(`${expression}\n`);
      const answer = (await asked).stdout.trim();
      // An error of the expression ends with 0 too.
      if (!answer.startsWith('{ok,')) throw new Error(`the broker answered ${answer} to ${expression}`);
      return answer;
    },

    async queues() {
      return new Map((await linesOf(QUEUES)).map(queueOf));
    },

    async consumers() {
      return (await linesOf(CONSUMERS)).map((line) => {
        const [queue, prefetch] = line.split(' ');
        return { queue: queue!, prefetch: Number(prefetch) };
      });
    },
  };
  /** The strings of the list that an expression gives. */
  const linesOf = async (expression: string) =>
    [...(await commands.evaluate(expression)).matchAll(/"([^"]*)"/g)].map(([, line]) => line!);
  return commands;
}

/**
 * The path of one of RabbitMQ's commands.
 * @throws {Error} when it is neither there nor can be installed.
 */
export function rabbitCommand(name: 'rabbitmq-server' | 'rabbitmqctl'): string {
  return ensureInstalled('rabbitmq-server', () =>
    [`/usr/lib/rabbitmq/bin/${name}`].find((path) => existsSync(path)),
  );
}

/** Likewise, one of Erlang's. */
export function erlangCommand(name: 'epmd' | 'erl_call'): string {
  return ensureInstalled('erlang-base', () =>
    ['/usr/bin/', '/usr/local/bin/'].map((path) => path + name).find((path) => existsSync(path)),
  );
}

/** A queue that is just going has no counts. */
function queueOf(line: string): readonly [name: string, counts: QueueCounts] {
  const [name, ...counts] = line.split(' ');
  const [ready = 0, unacked = 0, consumers = 0] = counts.map((count) => Number(count) || 0);
  return [name!, { ready, unacked, consumers }];
}
