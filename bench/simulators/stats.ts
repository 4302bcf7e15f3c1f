import type { Exchange } from './http.js';

/** What the simulator has seen since its start or the last `DELETE /_simulator/stats`. */
export interface Stats {
  /** Well-formed generation calls, answered or not. */
  readonly calls: number;
  /** Calls answered with 400. */
  readonly badRequests: number;
  readonly byTask: Readonly<Record<string, number>>;
  readonly byModel: Readonly<Record<string, ModelStats>>;
  /** Calls in work now; survives a reset, as the calls do. */
  readonly open: number;
  readonly maxOpen: number;
  /** Answers sent to their proper end with status 200. */
  readonly completed: number;
  /** Answers with an error status, or broken off by a knob. */
  readonly failed: number;
  readonly clientClosed: number;
  /** The last 1000. */
  readonly clientClosedCalls: readonly ClientClosedCall[];
  /** The last 2000 calls, oldest first. */
  readonly lastCalls: readonly LoggedCall[];
  /** CPU time that the process has used since its start, in milliseconds: its share of a small machine. */
  readonly cpuMs: number;
  readonly connections: { readonly opened: number; readonly open: number };
  /** The last 50 requests, oldest first. */
  readonly requests: readonly SeenRequest[];
}

export interface ModelStats {
  calls: number;
  open: number;
  maxOpen: number;
}

export interface ClientClosedCall {
  readonly task: string | null;
  readonly model: string;
  /** `Date.now()` at which the close was seen. */
  readonly at: number;
  readonly chunksSent: number;
}

/** When a call was in work, in milliseconds of `Date.now()`. */
export interface LoggedCall {
  /** Of all calls since the start, counted from 0. */
  readonly number: number;
  readonly task: string | null;
  readonly at: number;
  /** Absent while it is in work. */
  readonly ended?: { readonly at: number; readonly how: 'completed' | 'failed' | 'clientClosed' };
}

export interface SeenRequest {
  /** `Date.now()` of its arrival. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON, or the text when it is none. */
  readonly body: unknown;
}

/** One call in work; exactly one of the three ends it. */
export interface OpenCall {
  /** Calls in work when it came, itself among them. */
  readonly openThen: number;
  /** Content deltas (or pieces of a whole answer) written so far. */
  chunksSent: number;
  completed(): void;
  failed(): void;
  clientClosed(): void;
}

export interface StatsRecorder {
  seen(exchange: Exchange): void;
  badRequest(): void;
  open(model: string, task: string | null): OpenCall;
  connectionOpened(): void;
  connectionClosed(): void;
  snapshot(): Stats;
  reset(): void;
}

const ringSize = 50;
const closedCallsKept = 1000;
const callsKept = 2000;
/** A benchmark of millions of tasks must not fill the memory; later tasks are counted in the totals only. */
const tasksKept = 200_000;

/** Starts all counts at 0. */
export function recordStats(): StatsRecorder {
  let counts = noCounts();
  let openNow = 0;
  let opened = 0;
  let connectionsOpen = 0;
  const openByModel = new Map<string, number>();

  return {
    seen(exchange) {
      const { method, path, headers, body } = exchange;
      counts.ring[counts.seen++ % ringSize] = { at: Date.now(), method, path, headers, body };
    },
    badRequest() {
      counts.badRequests++;
    },
    open(model, task) {
      counts.calls++;
      openNow++;
      counts.maxOpen = Math.max(counts.maxOpen, openNow);
      const modelOpen = (openByModel.get(model) ?? 0) + 1;
      openByModel.set(model, modelOpen);
      const byModel = modelCounts(model);
      byModel.calls++;
      byModel.maxOpen = Math.max(byModel.maxOpen, modelOpen);
      if (task !== null && (counts.byTask.has(task) || counts.byTask.size < tasksKept)) {
        counts.byTask.set(task, (counts.byTask.get(task) ?? 0) + 1);
      }
      return openCall(model, task);
    },
    connectionOpened() {
      counts.connections++;
      connectionsOpen++;
    },
    connectionClosed() {
      connectionsOpen--;
    },
    snapshot() {
      return {
        calls: counts.calls,
        badRequests: counts.badRequests,
        byTask: Object.fromEntries(counts.byTask),
        byModel: Object.fromEntries(
          [...counts.byModel].map(([model, seen]) => [
            model,
            { calls: seen.calls, open: openByModel.get(model) ?? 0, maxOpen: seen.maxOpen },
          ]),
        ),
        open: openNow,
        maxOpen: counts.maxOpen,
        completed: counts.completed,
        failed: counts.failed,
        clientClosed: counts.clientClosed,
        clientClosedCalls: counts.clientClosedCalls,
        lastCalls: oldestFirst(counts.lastCalls, counts.calls),
        cpuMs: cpuMs(),
        connections: { opened: counts.connections, open: connectionsOpen },
        requests: oldestFirst(counts.ring, counts.seen).map(readable),
      };
    },
    reset() {
      counts = noCounts();
      counts.maxOpen = openNow;
      for (const [model, open] of openByModel) {
        if (open > 0) modelCounts(model).maxOpen = open;
      }
    },
  };

  function openCall(model: string, task: string | null): OpenCall {
    let ended = false;
    const logged: Writable<LoggedCall> = { number: opened++, task, at: Date.now() };
    counts.lastCalls[(counts.calls - 1) % callsKept] = logged;
    const end = (how: 'completed' | 'failed' | 'clientClosed') => {
      if (ended) return;
      ended = true;
      openNow--;
      openByModel.set(model, openByModel.get(model)! - 1);
      counts[how]++;
      logged.ended = { at: Date.now(), how };
      if (how !== 'clientClosed') return;
      counts.clientClosedCalls.push({ task, model, at: Date.now(), chunksSent: call.chunksSent });
      if (counts.clientClosedCalls.length > closedCallsKept) counts.clientClosedCalls.shift();
    };
    const call: OpenCall = {
      openThen: openNow,
      chunksSent: 0,
      completed: () => end('completed'),
      failed: () => end('failed'),
      clientClosed: () => end('clientClosed'),
    };
    return call;
  }

  function modelCounts(model: string) {
    let seen = counts.byModel.get(model);
    if (seen === undefined) {
      seen = { calls: 0, maxOpen: 0 };
      counts.byModel.set(model, seen);
    }
    return seen;
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

type Writable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

interface RawRequest extends Omit<SeenRequest, 'body'> {
  readonly body: Buffer;
}

function noCounts() {
  return {
    calls: 0,
    badRequests: 0,
    byTask: new Map<string, number>(),
    byModel: new Map<string, { calls: number; maxOpen: number }>(),
    maxOpen: 0,
    completed: 0,
    failed: 0,
    clientClosed: 0,
    clientClosedCalls: [] as ClientClosedCall[],
    lastCalls: [] as LoggedCall[],
    connections: 0,
    ring: [] as RawRequest[],
    seen: 0,
  };
}

/** @param seen how many there were in all; a ring that is full holds the last of them. */
function oldestFirst<Entry>(ring: readonly Entry[], seen: number): Entry[] {
  const start = seen > ring.length ? seen % ring.length : 0;
  return [...ring.slice(start), ...ring.slice(0, start)];
}

/** Bodies are parsed when somebody looks, not when they arrive. */
function readable(request: RawRequest): SeenRequest {
  const text = request.body.toString();
  try {
    return { ...request, body: JSON.parse(text) };
  } catch {
    return { ...request, body: text };
  }
}
