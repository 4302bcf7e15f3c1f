/** What the workers of a node and their primary tell each other. Plain data: it crosses by JSON. */

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Worker → primary. */
export type ToPrimary =
  /** The worker listens. A task of its takes at most so long, in milliseconds; its configuration has these tiers. */
  | {
      readonly kind: 'ready';
      readonly longestTaskMs: number;
      readonly queues: Readonly<Record<string, QueueLimits>>;
    }
  /**
   * How many more slots of a tier the worker could use now, `events` of them for events; replaces what it said before.
   * `received`: of the slots that were granted, those that it knew of when it said so. `number`: of what it says, from 1.
   */
  | ({
      readonly kind: 'want';
      readonly tier: string;
      readonly slots: number;
      readonly events: number;
      readonly received: number;
      readonly number: number;
    } & HeldNews)
  /** `turn`: who is to have the slot, where somebody waits. `ask`: of the recall that is answered with all that was idle. */
  | ({
      readonly kind: 'give';
      readonly tier: string;
      readonly slots: number;
      readonly turn?: Turn | undefined;
      readonly ask?: number | undefined;
    } & HeldNews)
  /** What the endpoint of a tier was like lately. */
  | {
      readonly kind: 'observed';
      readonly tier: string;
      readonly window: {
        readonly answered: number;
        readonly latencyMs: number;
        readonly ageMs: number;
        readonly refused: number;
      };
    }
  | { readonly kind: 'claim'; readonly claims: readonly TaskClaim[] }
  | { readonly kind: 'release'; readonly taskIds: readonly string[] }
  | { readonly kind: 'ask'; readonly call: number; readonly taskId: string; readonly otherThan: string }
  /** Asks for the reports of all workers. */
  | { readonly kind: 'report'; readonly call: number }
  /** What this worker tells of itself; `call` 0: at its end, when nobody has asked. */
  | { readonly kind: 'measured'; readonly call: number; readonly report: object }
  | { readonly kind: 'log_level'; readonly level: LogLevel }
  /** It lives. */
  | { readonly kind: 'pulse' }
  /** Cancel a task that another worker executes. */
  | { readonly kind: 'cancel'; readonly taskId: string }
  /** Join the execution of a task in another worker; `watch`: with its events, from the first one. */
  | { readonly kind: 'follow'; readonly call: number; readonly taskId: string; readonly watch: boolean }
  | { readonly kind: 'unfollow'; readonly call: number }
  /** What another worker gets to see of an execution here. */
  | { readonly kind: 'shown'; readonly call: number; readonly shown: Shown };

/** `events`: of the execution, new ones; it was joined. `absent`: it is not executed here. `ended`: no more will come. */
export type Shown = { readonly events: readonly object[] } | 'absent' | 'ended';

/** How many tasks of a tier may run on the node, as `queues.{tier}` says. */
export interface QueueLimits {
  readonly concurrency: number;
  readonly adaptive: boolean;
  readonly min_concurrency: number;
}

/** Whose turn it is to have a slot: that of HTTP callers, or of events, which have a share while both wait. */
export type Turn = 'http' | 'events';

/** How long a slot of a tier was held lately: the mean in milliseconds, of so many tasks. */
export interface HeldTime {
  readonly meanMs: number;
  readonly tasks: number;
}

/** A worker tells of the tasks that have ended since it last did, the primary of those of the node. */
export interface HeldNews {
  readonly held?: HeldTime | undefined;
}

export interface TaskClaim {
  readonly call: number;
  readonly taskId: string;
  readonly requestHash: string;
}

/** Primary → worker. */
export type ToWorker =
  | ({ readonly kind: 'grant'; readonly tier: string; readonly slots: number } & HeldNews)
  /**
   * Give back what is idle, up to `slots`, now and when it becomes so, and of what is busy up to `busy` when it ends.
   * `ask`: give all that is idle now, and say so also when nothing is.
   */
  | {
      readonly kind: 'recall';
      readonly tier: string;
      readonly slots: number;
      readonly busy: number;
      readonly ask?: number;
    }
  /**
   * No slot is free or idle anywhere. How many wait for slots of a tier in other workers, `events` of them events, and in
   * how many of these. `number`: of the `want` that is known.
   */
  | ({
      readonly kind: 'contended';
      readonly tier: string;
      readonly waiting: number;
      readonly events: number;
      readonly workers: number;
      readonly number?: number | undefined;
    } & HeldNews)
  /** How many tasks of a tier may run on the node from now on. */
  | { readonly kind: 'limit'; readonly tier: string; readonly limit: number }
  | { readonly kind: 'answers'; readonly answers: readonly ClaimAnswer[] }
  | { readonly kind: 'measure'; readonly call: number }
  /** To be answered by the same. */
  | { readonly kind: 'pulse' }
  | { readonly kind: 'reports'; readonly call: number; readonly reports: readonly object[] }
  | { readonly kind: 'cancel'; readonly taskId: string }
  | { readonly kind: 'log_level'; readonly level: LogLevel }
  | { readonly kind: 'follow'; readonly call: number; readonly taskId: string; readonly watch: boolean }
  | { readonly kind: 'unfollow'; readonly call: number }
  | { readonly kind: 'shown'; readonly call: number; readonly shown: Exclude<Shown, 'absent'> }
  /** End what runs, exit. `replaced`: others take the new connections, so what comes on the open ones is served. */
  | { readonly kind: 'stop'; readonly replaced: boolean };

export interface ClaimAnswer {
  readonly call: number;
  readonly answer: 'granted' | 'held' | 'conflict' | 'free';
}

/** What a worker is born with, in its environment. */
export interface WorkerSeat {
  /** Workers on the node. */
  readonly workers: number;
  /** From 0; a worker that takes the place of a dead one has its number. */
  readonly index: number;
  /** Port that all workers listen on. */
  readonly port: number;
  /** Stand-ins that the primary has started. */
  readonly gatewayUrl?: string | undefined;
  readonly ragUrl?: string | undefined;
}

export const workerSeatVariable = 'WORKER_SERVICE_SEAT';
