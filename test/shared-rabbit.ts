import { type RabbitServer, startRabbit } from '../bench/servers/rabbitmq.js';
import type { RabbitCommands } from '../bench/servers/rabbitmq-commands.js';
import { rabbitCommands } from '../bench/servers/rabbitmq-commands.js';

/** A broker that others use beside: nobody stops it, blocks it or changes its settings. */
export interface SharedRabbit extends RabbitCommands {
  readonly port: number;
  readonly url: string;
  /** Leaves it. */
  close(): Promise<void>;
}

/** The broker of a run of all tests, since its start takes several seconds of a core; in a run of one test its own. */
export async function sharedRabbit(): Promise<SharedRabbit> {
  const given = process.env[VARIABLE];
  if (given === undefined) return startRabbit();
  const { port, url, env } = JSON.parse(given) as Pick<RabbitServer, 'port' | 'url' | 'env'>;
  return { port, url, ...rabbitCommands(env), close: async () => {} };
}

/** Starts the broker that `sharedRabbit` gives to the processes that this one starts. */
export async function shareRabbit(): Promise<RabbitServer> {
  const rabbit = await startRabbit();
  process.env[VARIABLE] = JSON.stringify({ port: rabbit.port, url: rabbit.url, env: rabbit.env });
  return rabbit;
}

const VARIABLE = 'TEST_RABBITMQ';
