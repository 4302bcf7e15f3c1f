import { ConfigError, loadConfig } from '../config/load.js';
import { printableConfig } from '../config/print.js';
import type { Config } from '../config/schema.js';
import type { WorkerSeat } from '../contracts/cluster.js';
import { domainNames } from '../domains/registry.js';
import { orderOf } from './arguments.js';
import { openLink, seatOf } from './cluster/link.js';
import { openPrimary } from './cluster/primary.js';
import { type Log, openLog } from './log.js';
import { namedFileProblems } from './named-files.js';
import { startService } from './service.js';
import { standInProblems } from './stand-ins.js';

await main();

async function main(): Promise<void> {
  const order = orderOf(process.argv.slice(2));
  if (typeof order === 'object') {
    (order.exitCode === 0 ? process.stdout : process.stderr).write(order.print);
    process.exitCode = order.exitCode;
    return;
  }
  const config = readConfig();
  // Its line to the primary would keep a worker alive.
  if (config === undefined) process.exit(1);
  if (order === 'check') {
    process.stdout.write(printableConfig(config));
    return;
  }
  const log = openLog(config);
  try {
    const seat = seatOf(process.env);
    if (seat !== undefined) await runWorker(config, log, seat);
    else if (config.server.workers > 1) await runPrimary(config, log);
    else await runAlone(config, log);
  } catch (error) {
    log.fatal({ event: 'start_failed', error: (error as Error).message });
    process.exit(1);
  }
}

async function runAlone(config: Config, log: Log): Promise<void> {
  // Without a handler it would end the process, and what it runs.
  process.on('SIGHUP', () =>
    log.warn({
      event: 'reload_not_possible',
      message: 'SIGHUP replaces workers, and this service is one process (WORKERS=1): restart it',
    }),
  );
  const stopping = new AbortController();
  const starting = startService(config, log, undefined, stopping.signal);
  onSignals(['SIGTERM', 'SIGINT'], async () => {
    stopping.abort();
    // The start may have failed for that.
    const service = await starting.catch(() => undefined);
    await service?.close();
    process.exit(0);
  });
  await starting.catch((error: Error) => {
    if (!stopping.signal.aborted) throw error;
  });
}

async function runPrimary(config: Config, log: Log): Promise<void> {
  const stopping = new AbortController();
  const { signal: stop } = stopping;
  const opening = openPrimary({ config, log, onCrashLoop: () => process.exit(1), stop });
  // One that comes while the workers start is obeyed when they have.
  process.on('SIGHUP', () => {
    opening.then(
      (primary) => primary.reload(),
      () => {},
    );
  });
  onSignals(['SIGTERM', 'SIGINT'], async () => {
    stopping.abort();
    // The start may have failed for that.
    const primary = await opening.catch(() => undefined);
    await primary?.close();
    log.info({ event: 'stopped' });
    process.exit(0);
  });
  await opening.catch((error: Error) => {
    if (!stop.aborted) throw error;
  });
}

async function runWorker(config: Config, log: Log, seat: WorkerSeat): Promise<void> {
  const link = openLink();
  const stopping = new AbortController();
  // It is obeyed when the service has started, or no longer waits for what it needs for that.
  const starting = startService(config, log, { ...seat, link }, stopping.signal).catch((error: Error) => {
    if (stopping.signal.aborted) process.exit(0);
    throw error;
  });
  const stop = async (replaced: boolean) => {
    stopping.abort();
    const service = await starting;
    if (replaced) await service.leave();
    await service.close();
    process.exit(0);
  };
  link.on((message) => {
    if (message.kind === 'stop') void stop(message.replaced);
    if (message.kind === 'log_level') log.level = message.level;
    if (message.kind === 'pulse') link.send(message);
  });
  // A terminal sends its signals to the whole group: the primary alone decides when its workers stop.
  process.on('SIGINT', () => {});
  process.on('SIGHUP', () => {});
  process.once('SIGTERM', () => void stop(false));
  const { longestTaskMs } = await starting;
  link.send({ kind: 'ready', longestTaskMs, queues: config.queues });
}

function onSignals(signals: readonly NodeJS.Signals[], stop: () => Promise<void>): void {
  let asked = false;
  for (const signal of signals)
    process.on(signal, () => {
      if (!asked) void stop();
      asked = true;
    });
}

function readConfig(): Config | undefined {
  try {
    return loadConfig({
      env: process.env,
      argv: process.argv.slice(2),
      domains: domainNames,
      check: (config) => [...namedFileProblems(config), ...standInProblems(config)],
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}
