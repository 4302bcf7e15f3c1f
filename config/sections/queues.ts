import Type from '../../contracts/typebox.js';
import { Name, nameExpectation } from './names.js';

/** The queues of the default tiers, timeouts in seconds; any other tier's has the default of each field. */
export const defaultQueues: ReadonlyMap<string, { concurrency: number; timeout: number; nice: number }> =
  new Map([
    ['tiny', { concurrency: 10, timeout: 60, nice: 0 }],
    ['small', { concurrency: 5, timeout: 120, nice: 0 }],
    ['large', { concurrency: 2, timeout: 300, nice: 10 }],
    ['coding', { concurrency: 2, timeout: 300, nice: 10 }],
    ['frontier', { concurrency: 1, timeout: 600, nice: 10 }],
  ]);

const Queue = Type.Object(
  {
    concurrency: Type.Integer({
      default: 2,
      minimum: 1,
      maximum: 10_000,
      description: 'Tasks of the tier that run at the same time on the node.',
    }),
    timeout: Type.Number({
      default: 300,
      minimum: 0.001,
      maximum: 86_400,
      description:
        'Time from acceptance to outcome, in seconds: the wait for a slot, retries and repairs included.',
    }),
    max_waiting: Type.Integer({
      default: 256,
      minimum: 0,
      maximum: 1_000_000,
      description:
        'Tasks of HTTP callers that may wait for a slot of the node, of which each worker has its share; the next one is answered 429. Tasks of the queue wait in the broker.',
    }),
    events_share: Type.Number({
      default: 0.2,
      minimum: 0,
      maximum: 1,
      description:
        'Share of the slots that become free which events get while HTTP callers wait as well, who go first otherwise.',
    }),
    adaptive: Type.Boolean({
      default: false,
      description:
        "Whether fewer tasks than `concurrency` run while the endpoint's first bytes come late or it refuses calls.",
    }),
    min_concurrency: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 10_000,
      description: 'With `adaptive`: what the limit begins with and never falls below.',
    }),
    threads: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 64,
      description: 'Threads for assembly, counting and validation.',
    }),
    nice: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 19,
      description:
        'How far these threads stand back, on Linux, when the cores are all busy (nice(2)): large outputs of a patient tier then hold up neither the event loop nor the tiers that are in a hurry. Default: see the table.',
    }),
  },
  { additionalProperties: false },
);

export const Queues = Type.Record(Name, Queue, {
  additionalProperties: false,
  names: nameExpectation,
  description: 'Limits by tier. A tier without an entry has the defaults.',
});
