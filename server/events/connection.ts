import { readFileSync } from 'node:fs';
import { type ChannelModel, connect, type RecoveringChannelModel } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { Log } from '../log.js';
import { brokerAddresses } from './addresses.js';

export interface BrokerState {
  readonly ok: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly detail: string;
}

/** A connection that comes back by itself. */
export interface BrokerConnection {
  state(): BrokerState;
  close(): Promise<void>;
}

export interface ConnectionOptions {
  /** Shown by the broker's own tools. */
  readonly name: string;
  readonly rabbitmq: Config['rabbitmq'];
  readonly log: Log;
  /** Runs after each connect, before anything else uses the connection; opens channels and consumers. */
  setup(model: ChannelModel): Promise<void>;
  /** The connection is gone, and with it all its channels. */
  onLost?(): void;
  /** The broker asks to publish nothing (an alarm), or lifts that. */
  onBlocked?(blocked: boolean): void;
}

/**
 * Opens a connection and keeps it: amqplib's recovery, with backoff and jitter, and the next address of the list at
 * each attempt. Returns at once, connected or not.
 * @throws {Error} when a file of the TLS configuration cannot be read.
 */
export async function openConnection(options: ConnectionOptions): Promise<BrokerConnection> {
  const { name, rabbitmq, log, setup, onLost, onBlocked } = options;
  const addresses = brokerAddresses(rabbitmq);
  let turn = 0;
  let state: BrokerState = { ok: false, since: Date.now(), detail: 'connecting' };
  const become = (ok: boolean, detail: string) => {
    state = { ok, since: ok === state.ok ? state.since : Date.now(), detail };
  };
  const address = () => addresses[turn % addresses.length]!;
  const recovering: RecoveringChannelModel = await connect(turning(address, rabbitmq.heartbeat_seconds), {
    noDelay: true,
    keepAlive: true,
    timeout: rabbitmq.connect_timeout_ms,
    clientProperties: { connection_name: name },
    ...tlsFiles(rabbitmq),
    recovery: {
      initialDelay: 100,
      maxDelay: rabbitmq.reconnect_max_ms,
      jitter: 0.5,
      waitForConnect: false,
      setup: async (model: ChannelModel) => {
        // amqplib's recovery listens only after the set-up; without a listener an error would end the process.
        model.on('error', () => {});
        await setup(model);
      },
    },
  });
  recovering.on('connect', () => {
    become(true, 'connected');
    log.info({ event: 'broker_connected', connection: name, host: address().hostname, port: address().port });
  });
  recovering.on('disconnect', (error) => {
    become(false, error.message);
    log.warn({ event: 'broker_lost', connection: name, error: error.message });
    turn++;
    onLost?.();
  });
  recovering.on('connect-failed', (error) => {
    become(false, error.message);
    const { hostname: host, port } = address();
    log.warn({ event: 'broker_unreachable', connection: name, host, port, error: error.message });
    turn++;
    onLost?.();
  });
  recovering.on('error', (error) =>
    log.warn({ event: 'broker_error', connection: name, error: error.message }),
  );
  recovering.on('blocked', (reason) => {
    log.warn({ event: 'broker_blocked', connection: name, reason });
    onBlocked?.(true);
  });
  recovering.on('unblocked', () => {
    log.info({ event: 'broker_unblocked', connection: name });
    onBlocked?.(false);
  });
  return {
    state: () => state,
    close: async () => {
      become(false, 'closed');
      // A broker that does not answer any more must not hold up the stop.
      await Promise.race([
        recovering.close(),
        new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref()),
      ]);
    },
  };
}

const CLOSE_MS = 2000;

/**
 * Connects once, to the first address of the list that answers.
 * @throws {Error} the one of the last address.
 */
export async function connectOnce(rabbitmq: Config['rabbitmq'], name: string): Promise<ChannelModel> {
  let failure: unknown;
  for (const address of brokerAddresses(rabbitmq)) {
    try {
      return await connect(
        turning(() => address, rabbitmq.heartbeat_seconds),
        {
          timeout: rabbitmq.connect_timeout_ms,
          clientProperties: { connection_name: name },
          ...tlsFiles(rabbitmq),
        },
      );
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** amqplib reads the fields at each attempt, so that each may go to another address. */
function turning(
  address: () => ReturnType<typeof brokerAddresses>[number],
  heartbeat: number,
): Parameters<typeof connect>[0] {
  return {
    get protocol() {
      return address().protocol;
    },
    get hostname() {
      return address().hostname;
    },
    get port() {
      return address().port;
    },
    get username() {
      return address().username;
    },
    get password() {
      return address().password;
    },
    get vhost() {
      return encodeURIComponent(address().vhost);
    },
    heartbeat,
  };
}

function tlsFiles({ tls_ca_file, tls_cert_file, tls_key_file }: Config['rabbitmq']) {
  return {
    ...(tls_ca_file !== undefined && { ca: [readFileSync(tls_ca_file)] }),
    ...(tls_cert_file !== undefined && { cert: readFileSync(tls_cert_file) }),
    ...(tls_key_file !== undefined && { key: readFileSync(tls_key_file) }),
  };
}
