import type { Events } from './events/events.js';
import type { Gateway } from './gateway/gateway.js';
import type { ArtifactStore } from './store/store.js';
import { version } from './version.js';

/** What the service knows of its own state. */
export interface Health {
  summary(): { status: 'healthy' | 'degraded'; version: string; timestamp: string };
  detailed(): Promise<object>;
  ready(): Promise<{ readonly ready: boolean }>;
}

export interface HealthParts {
  readonly gateway: Gateway;
  readonly store: ArtifactStore;
  /** Undefined when no broker is configured. */
  readonly events: Events | undefined;
  /** What stands in for a service that is not configured, by its name. */
  readonly standIns: Readonly<Record<string, string>>;
  isClosing(): boolean;
}

/** Reads the state of the parts; the gateway is probed at most every few seconds. */
export function openHealth({ gateway, store, events, standIns, isClosing }: HealthParts): Health {
  let probed: { readonly at: number; readonly answers: Promise<boolean> } | undefined;
  const gatewayState = async () => {
    if (probed === undefined || performance.now() - probed.at > PROBE_MS) {
      probed = { at: performance.now(), answers: gateway.probe(AbortSignal.timeout(2000)) };
    }
    return (await probed.answers) ? 'connected' : 'disconnected';
  };
  const summary = () => ({
    status: store.state().ok ? ('healthy' as const) : ('degraded' as const),
    version,
    timestamp: new Date().toISOString(),
  });
  const dependencies = async () => ({
    model_gateway: await gatewayState(),
    store: store.state().ok ? 'connected' : 'disconnected',
    ...(events !== undefined && { rabbitmq: events.state().ok ? 'connected' : 'disconnected' }),
  });
  /** What is wrong, in words: a queue that the broker holds with other arguments shows here. */
  const details = () => {
    const wrong = [
      ['store', store.state()] as const,
      ...(events === undefined ? [] : [['rabbitmq', events.state()] as const]),
    ].filter(([, { ok }]) => !ok);
    return wrong.length === 0
      ? {}
      : { details: Object.fromEntries(wrong.map(([name, { detail }]) => [name, detail])) };
  };
  return {
    summary,
    detailed: async () => ({
      ...summary(),
      dependencies: await dependencies(),
      endpoints: endpointsOf(gateway),
      ...details(),
      stand_ins: standIns,
    }),
    ready: async () => ({
      ready: !isClosing() && store.state().ok,
      ...(isClosing() && { reason: 'the service is stopping' }),
      dependencies: await dependencies(),
      ...details(),
      stand_ins: standIns,
    }),
  };
}

function endpointsOf(gateway: Gateway) {
  const time = (ms: number) => new Date(ms).toISOString();
  return Object.fromEntries(
    [...gateway.endpoints()].map(([name, { breaker, since, pausedUntil }]) => [
      name,
      {
        breaker,
        since: time(since),
        ...(pausedUntil !== undefined && { paused_until: time(pausedUntil) }),
      },
    ]),
  );
}

const PROBE_MS = 5000;
