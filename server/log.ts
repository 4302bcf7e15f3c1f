import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import sonicBoom from 'sonic-boom';
import type { Config } from '../config/schema.js';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level'>;

/** The service's log: one JSON object a line on stdout, readable lines in a terminal. */
export function openLog(config: Config): Log {
  const options = {
    level: config.log.level,
    base: { service: 'worker-service' },
    // Nothing of it is logged on purpose; this is for what is logged with it one day.
    redact: { paths: secretPaths, censor: '***' },
    messageKey: 'message',
    timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (process.stdout.isTTY) return pino(options, pretty({ timestampKey: 'timestamp', messageKey: 'event' }));
  const { output, flushSync } = openOutput(config.server.workers > 1 ? whole : large);
  // Its types know strings only.
  const write = output.write.bind(output) as unknown as (line: Buffer) => boolean;
  const stream = {
    write: (line: string) => void write(Buffer.from(line)),
    // For pino, after a fatal line.
    flushSync,
  };
  const log = pino(options, stream);
  let dropped = 0;
  output.on('drop', () => dropped++);
  output.on('drain', () => {
    if (dropped === 0) return;
    const count = dropped;
    dropped = 0;
    log.warn({ event: 'log_lines_dropped', count });
  });
  return log;
}

/**
 * Written in the background: a line per task must not cost each task a write of its own. A reader that has gone, or a
 * disk that is full, costs lines, never the service: what waits is written when that is possible again, or at the end.
 */
function openOutput(batches: typeof whole): { output: sonicBoom.SonicBoom; flushSync: () => void } {
  let triesLeft = Number.POSITIVE_INFINITY;
  const retryEAGAIN = () => triesLeft-- > 0;
  const always = { dest: 1, sync: false, periodicFlush: 100, maxLength: MOST_WAITING_BYTES };
  // Of strings it counts the bytes of the whole batch again with each line (bench: execute).
  const output = new sonicBoom.SonicBoom({ ...always, ...batches, contentMode: 'buffer', retryEAGAIN });
  output.on('error', () => {});
  const flushSync = () => {
    triesLeft = TRIES_OF_FLUSH;
    try {
      output.flushSync();
    } catch {
      // Thrown at the exit it would keep the process alive, and nobody is left to tell.
    }
    triesLeft = Number.POSITIVE_INFINITY;
  };
  process.once('exit', flushSync);
  return { output, flushSync };
}

const MOST_WAITING_BYTES = 16 * 1024 * 1024;
/** Each waits 100 ms. */
const TRIES_OF_FLUSH = 20;

/** Paths with wildcards would cost a line ten times as much. */
const secretPaths = [
  'authorization',
  'password',
  'api_key',
  'token',
  'database_url',
  'headers.authorization',
];

/**
 * The workers of a node write into one pipe: what is not longer than PIPE_BUF (4096 bytes, pipe(7)) stays in one piece
 * there, so that no line ends in the middle of another. In bytes.
 */
const whole = { minLength: 4095, maxWrite: 4096 };
/** Of a process that has its pipe to itself. */
const large = { minLength: 32_768, maxWrite: 65_536 };
