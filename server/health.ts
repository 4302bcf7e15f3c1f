import type { Events } from './events/events.js';
import type { Gateway } from './gateway/gateway.js';
import type { Rag } from './rag.js';
import type { ArtifactStore } from './store/store.js';
import { version } from './version.js';

/** What the service knows of its own state. */
export interface Health {
  summary(): { status: 'healthy' | 'degraded'; version: string; timestamp: string };
  detailed(): Promise<object>;
  ready(): Promise<{ readonly ready: boolean }>;
  /** Whether each dependency can be had, by its name. */
  dependencies(): Promise<readonly (readonly [name: string, ok: boolean])[]>;
}

export interface HealthParts {
  readonly gateway: Gateway;
  readonly rag: Rag;
  readonly store: ArtifactStore;
  /** Undefined when no broker is configured. */
  readonly events: Events | undefined;
  /** What stands in for a service that is not configured, by its name. */
  readonly standIns: Readonly<Record<string, string>>;
  isClosing(): boolean;
}

interface Observed {
  readonly ok: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** What is wrong. */
  readonly detail: string;
}

/** Reads the state of the parts; what must be asked over the network is asked at most every few seconds. */
export function openHealth({ gateway, rag, store, events, standIns, isClosing }: HealthParts): Health {
  const gatewayProbe = openProbe(
    (signal) => gateway.probe(signal),
    'nothing answers at the address of the gateway, or at that of an endpoint',
  );
  const ragProbe = openProbe(
    (signal) => rag.probe(signal),
    'nothing answers at the address of the RAG service',
  );
  /** Something may answer at the address while queries get no answer. */
  const observedRag = async (): Promise<Observed> => {
    const since = rag.hangsSince;
    return since === undefined
      ? ragProbe()
      : { ok: false, since, detail: 'queries to the RAG service get no answer in time' };
  };
  const summary = () => ({
    status: store.state().ok ? ('healthy' as const) : ('degraded' as const),
    version,
    timestamp: new Date().toISOString(),
  });
  const observed = async (): Promise<[name: string, observed: Observed][]> => {
    const [ofGateway, ofRag] = await Promise.all([gatewayProbe(), observedRag()]);
    return [
      ['model_gateway', ofGateway],
      ['store', store.state()],
      ['rag', ofRag],
      ...(events === undefined ? [] : [['rabbitmq', events.state()] as [string, Observed]]),
    ];
  };
  const state = async () => {
    const all = await observed();
    const wrong = all.filter(([, { ok }]) => !ok);
    const without = wrong.filter(([name]) => name in effects);
    return {
      dependencies: Object.fromEntries(all.map(([name, { ok }]) => [name, nameOf(ok)])),
      dependency_states: Object.fromEntries(
        all.map(([name, { ok, since, detail }]) => [
          name,
          { state: nameOf(ok), since: time(since), ...(!ok && { why: detail }) },
        ]),
      ),
      ...(wrong.length > 0 && {
        details: Object.fromEntries(wrong.map(([name, { detail }]) => [name, detail])),
      }),
      ...(without.length > 0 && {
        without: Object.fromEntries(without.map(([name]) => [name, effects[name]])),
      }),
      stand_ins: standIns,
    };
  };
  return {
    summary,
    detailed: async () => ({ ...summary(), ...(await state()), endpoints: endpointsOf(gateway) }),
    ready: async () => ({
      ready: !isClosing() && store.state().ok,
      ...(isClosing() && { reason: 'the service is stopping' }),
      ...(await state()),
    }),
    dependencies: async () => (await observed()).map(([name, { ok }]) => [name, ok] as const),
  };
}

/** What the service can do without for a while, and what that costs; it stays ready. */
const effects: Readonly<Record<string, string>> = {
  model_gateway: 'tasks fail with gateway_unavailable, or fall back to another tier',
  rag: 'tasks are executed without retrieved context, as degraded',
  rabbitmq:
    'tasks by HTTP are executed; their events wait in the store, and tasks of the queue in the broker',
};

function nameOf(ok: boolean): 'connected' | 'disconnected' {
  return ok ? 'connected' : 'disconnected';
}

/** Asks at most every few seconds, and remembers since when the answer has been what it is. */
function openProbe(ask: (signal: AbortSignal) => Promise<boolean>, detail: string): () => Promise<Observed> {
  let asked: { readonly at: number; readonly answer: Promise<Observed> } | undefined;
  let last: Observed | undefined;
  return () => {
    if (asked === undefined || performance.now() - asked.at > PROBE_MS) {
      const answer = ask(AbortSignal.timeout(PROBE_TIMEOUT_MS)).then((ok) => {
        if (last?.ok !== ok) last = { ok, since: Date.now(), detail };
        return last!;
      });
      asked = { at: performance.now(), answer };
    }
    return asked.answer;
  };
}

function endpointsOf(gateway: Gateway) {
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

function time(ms: number): string {
  return new Date(ms).toISOString();
}

const PROBE_MS = 5000;
const PROBE_TIMEOUT_MS = 2000;
