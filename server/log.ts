import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
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
  // Written in the background: a line per task must not cost each task a write of its own.
  if (!process.stdout.isTTY) {
    const batches = config.server.workers > 1 ? whole : large;
    return pino(options, pino.destination({ dest: 1, sync: false, periodicFlush: 100, ...batches }));
  }
  return pino(options, pretty({ timestampKey: 'timestamp', messageKey: 'event' }));
}

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
