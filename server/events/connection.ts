import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type ChannelModel, connect, type RecoveringChannelModel } from 'amqplib';
import type { Config } from '../../config/schema.js';
import type { Log } from '../log.js';
import { brokerAddresses } from './addresses.js';
import { boundHeaders } from './deep-headers.js';

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
  /** Connections that are closed, and why. */
  const gone = new WeakMap<ChannelModel, Error | undefined>();
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
        boundHeaders(model);
        const closed = new Promise<void>((resolve) => {
          model.once('close', (error) => {
            gone.set(model, error);
            resolve();
            dropSocket(model);
          });
        });
        try {
          let done = false;
          const work = setup(model).then(() => {
            done = true;
          });
          await within(SETUP_MS, Promise.race([work, closed]));
          // Not all that amqplib waits for ends with the connection: the closing of a channel does not.
          if (gone.has(model)) throw gone.get(model) ?? new Error('closed during the set-up');
          if (!done) throw new Error(`the broker did not answer within ${SETUP_MS} ms`);
        } catch (error) {
          // Recovery closes it as well, but would wait for ever for the answer of a broker that goes just then.
          await within(CLOSE_MS, Promise.race([model.close().catch(() => {}), closed]));
          dropSocket(model);
          throw error;
        }
      },
    },
  });
  recovering.on('connect', (model) => {
    if (gone.has(model)) {
      // It went between the last answer of the set-up and this moment, when nobody listened.
      model.emit('close', gone.get(model));
      return;
    }
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
      await within(CLOSE_MS, recovering.close());
    },
  };
}

const CLOSE_MS = 2000;
/** Longest time for the declarations, on a broker that is slow and yet alive. */
const SETUP_MS = 60_000;

/** Waits for the work, but no longer than so. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms).unref();
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What is sent on the connection now goes to its socket in one write. amqplib writes each frame on its own, in a later
 * turn of the event loop, and such a write costs more than the frame, here and at the broker (bench: events).
 */
export function gatherWrites(model: ChannelModel): void {
  const stream = socketOf(model);
  stream.cork();
  setImmediate(() => setImmediate(() => stream.uncork()));
}

/** amqplib only ends its side: towards a peer that is silent the socket, with all that it buffers, would stay. */
export function dropSocket(model: ChannelModel): void {
  const stream = socketOf(model);
  setTimeout(() => stream.destroy(), SOCKET_MS).unref();
}

function socketOf({ connection }: ChannelModel): Socket {
  return (connection as unknown as { stream: Socket }).stream;
}

/** Enough for the last bytes of a good end. */
const SOCKET_MS = 1000;

/**
 * Connects once, to the first address of the list that answers.
 * @throws {Error} the one of the last address.
 */
export async function connectOnce(rabbitmq: Config['rabbitmq'], name: string): Promise<ChannelModel> {
  let failure: unknown;
  for (const address of brokerAddresses(rabbitmq)) {
    try {
      const model = await connect(
        turning(() => address, rabbitmq.heartbeat_seconds),
        {
          timeout: rabbitmq.connect_timeout_ms,
          clientProperties: { connection_name: name },
          ...tlsFiles(rabbitmq),
        },
      );
      boundHeaders(model);
      return model;
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
