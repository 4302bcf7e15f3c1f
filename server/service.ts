import type { Config } from '../config/schema.js';
import { openPools } from '../pool/pools.js';
import { freePort } from './cluster/free-port.js';
import { LeasedSlots } from './cluster/leased-slots.js';
import { NodePeers } from './cluster/node-peers.js';
import { nodeReports } from './cluster/node-reports.js';
import { type Events, openEvents } from './events/events.js';
import type { ExecutionParts } from './execution-parts.js';
import { openGateway } from './gateway/gateway.js';
import { type Health, openHealth } from './health.js';
import { openHttp } from './http/server.js';
import type { Log } from './log.js';
import { openMetrics } from './metrics.js';
import { openStore, pruneRegularly } from './open-store.js';
import { OpenedParts, type Part } from './opened-parts.js';
import { openRag } from './rag.js';
import { RecentTasks } from './recent-tasks.js';
import type { Seat } from './seat.js';
import { LocalSlots } from './slots.js';
import { metricsTextOf, type Report, snapshotOf } from './snapshot.js';
import { openStandIns, standInsOf } from './stand-ins.js';
import { Tasks } from './tasks.js';
import { openTemplates } from './templates.js';
import { openTokens } from './tokens/tokens.js';

/** A service that listens. */
export interface Service {
  readonly port: number;
  /** The longest limit of its tiers, in milliseconds. */
  readonly longestTaskMs: number;
  /**
   * Leaves the port to others: takes no new connections and no messages, answers what comes on the open
   * connections and closes each with its answer. Resolves when nothing runs any more, however long that takes.
   */
  leave(): Promise<void>;
  /**
   * Stops in order: no new connections, what runs may end within the grace period, the rest is cancelled
   * with `shutting_down`, the store is closed after all that writes to it.
   */
  close(): Promise<void>;
}

/**
 * Builds all parts and opens the door last.
 * @param stop ends the wait for a database that does not answer.
 * @throws {Error} when a part cannot be opened; those before it are closed again.
 */
export async function startService(
  config: Config,
  log: Log,
  seat?: Seat,
  stop?: AbortSignal,
): Promise<Service> {
  const opened = new OpenedParts(log);
  const keep = <T extends Part>(part: T): T => opened.keep(part);
  let state: 'starting' | 'open' | 'closing' | 'closed' = 'starting';
  let leaving = false;
  const isLeaving = () => leaving;
  const isClosing = () => state === 'closing' || state === 'closed';
  try {
    const { host, port } = config.server;
    // With SO_REUSEPORT, as uWebSockets.js sets it, a second service would silently share one that is taken.
    if (seat === undefined && port !== 0) await freePort(host, port);
    const hasBroker = config.rabbitmq.host !== undefined;
    const standIns = seat === undefined ? await openStandIns(config, log, keep) : standInsOf(config, seat);
    const tokensFile = config.server.tokens_file;
    const tokens = tokensFile === undefined ? undefined : keep(openTokens(tokensFile, log));
    const { endpoint: collector } = config.traces;
    const tracing =
      collector === undefined
        ? undefined
        : keep(await openTracing(config, collector, standIns.gatewayUrl, log));
    const { store, leases } = await openStore({ config, log, outbox: hasBroker, keep, seat, stop });
    const templates = keep(openTemplates(config, log));
    const pools = keep(await openPools(config));
    pools.events.on('threadDied', (tier, error) =>
      log.error({ event: 'thread_died', tier, error: error.message }),
    );
    const gateway = keep(openGateway(config, standIns.gatewayUrl));
    const rag = keep(openRag(config, standIns.ragUrl, pools));
    const slots =
      seat === undefined
        ? new LocalSlots(config.queues)
        : keep(new LeasedSlots(config.queues, seat.workers, seat.link));
    const onPrompt = (taskId: string, prompt: Uint8Array) =>
      log.info({ event: 'prompt', task_id: taskId, prompt: Buffer.from(prompt).toString() });
    const parts: ExecutionParts = {
      config,
      onPrompt: config.log.prompts ? onPrompt : undefined,
      onUsage: (tier, said, counted) => metrics.counted(tier, said, counted),
      onFault: (taskId, error) => log.error({ event: 'task_error', task_id: taskId, error: error.stack }),
      pools,
      slots,
      rag,
      gateway,
      templates,
    };
    let events: Events | undefined;
    let health: Health | undefined;
    const metrics = openMetrics({
      pools,
      slots,
      gateway,
      rag,
      store,
      tierModels: config.tier_models,
      queues: config.queues,
      events: () => events,
      dependencies: async () => (await health?.dependencies()) ?? [],
    });
    const recent = new RecentTasks();
    const own = async (): Promise<Report> => ({
      metrics: await metrics.registry.getMetricsAsJSON(),
      recent: recent.list(),
    });
    const reports = seat === undefined ? async () => [await own()] : nodeReports(own, seat.link);
    const peers = seat === undefined ? undefined : new NodePeers(seat.link);
    const tasks = new Tasks({ parts, store, leases, peers, log, metrics, recent, tracing });
    if (seat === undefined || seat.index === 0) keep(pruneRegularly(config, store, log));
    events = hasBroker
      ? keep(
          await openEvents({
            config,
            pools,
            tasks,
            store,
            log,
            sharedStore: config.store.database_url !== undefined || seat !== undefined,
            processes: seat?.workers ?? 1,
            isClosing,
          }),
        )
      : undefined;
    health = openHealth({ gateway, rag, store, events, standIns: standIns.names, isClosing });
    const http = keep(
      openHttp({
        metrics,
        metricsText: async () => metricsTextOf(await reports()),
        snapshot: async () => snapshotOf(await reports(), config),
        port: seat?.port ?? config.server.port,
        config,
        pools,
        tasks,
        slots,
        store,
        leases,
        events,
        health,
        log,
        tokens,
        setLogLevel: (level) => {
          if (seat === undefined) log.level = level;
          else seat.link.send({ kind: 'log_level', level });
        },
        isClosing,
        isLeaving,
      }),
    );
    state = 'open';
    log.info({ event: 'listening', host: config.server.host, port: http.port, stand_ins: standIns.names });
    let closed: Promise<void> | undefined;
    const longestTaskMs = Math.max(...Object.values(config.queues).map(({ timeout }) => timeout)) * 1000;
    return {
      port: http.port,
      longestTaskMs,
      leave: async () => {
        leaving = true;
        const until = performance.now() + longestTaskMs;
        await http.stopListening();
        await events?.stopIntake();
        // The connection of a stream that began before is open for one more request after its end.
        do {
          await tasks.idle(longestTaskMs);
          await new Promise((resolve) => setTimeout(resolve, LEAVE_MS));
        } while (tasks.running > 0);
        await http.answered(Math.max(0, until - performance.now()));
      },
      close: () => {
        closed ??= close();
        return closed;
      },
    };

    async function close(): Promise<void> {
      state = 'closing';
      log.info({
        event: 'stopping',
        running: tasks.running,
        grace_period_ms: config.server.grace_period_ms,
      });
      await http.stopListening();
      await events?.stopIntake();
      const until = performance.now() + config.server.grace_period_ms;
      await tasks.idle(config.server.grace_period_ms);
      await tasks.stop();
      await http.answered(Math.max(0, until - performance.now()));
      // What has just ended is still on its way to its callers.
      await new Promise((resolve) => setTimeout(resolve, LAST_WRITES_MS));
      // What it has counted is the node's.
      if (seat !== undefined)
        await own().then(
          (report) => seat.link.send({ kind: 'measured', call: 0, report }),
          () => {},
        );
      await opened.close();
      state = 'closed';
      log.info({ event: 'stopped' });
    }
  } catch (error) {
    // Why it did not start is what matters.
    await opened.close().catch(() => {});
    throw error;
  }
}

const LAST_WRITES_MS = 50;
/** For what is on its way on connections that are open. */
const LEAVE_MS = 1000;

/** OpenTelemetry is loaded only where traces are taken. */
async function openTracing(...parts: Parameters<typeof import('./tracing/open-telemetry.js').openTelemetry>) {
  const { openTelemetry } = await import('./tracing/open-telemetry.js');
  return openTelemetry(...parts);
}
