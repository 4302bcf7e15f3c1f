import Type, { type Static } from '../contracts/typebox.js';
import { Embedded } from './sections/embedded.js';
import { Endpoints } from './sections/endpoints.js';
import { Gateway } from './sections/gateway.js';
import { Log } from './sections/log.js';
import { Models } from './sections/models.js';
import { Output } from './sections/output.js';
import { Prompts } from './sections/prompts.js';
import { Queues } from './sections/queues.js';
import { Rabbitmq } from './sections/rabbitmq.js';
import { Rag } from './sections/rag.js';
import { Server } from './sections/server.js';
import { Store } from './sections/store.js';
import { Threads } from './sections/threads.js';
import { TierModels } from './sections/tier-models.js';
import { Traces } from './sections/traces.js';
import { Workers } from './sections/workers.js';

/** The effective configuration: the file and the environment laid over the defaults. */
export const ConfigSchema = Type.Object(
  {
    server: Server,
    workers: Workers,
    tier_models: TierModels,
    queues: Queues,
    models: Models,
    endpoints: Endpoints,
    gateway: Gateway,
    rag: Rag,
    output: Output,
    store: Store,
    rabbitmq: Rabbitmq,
    prompts: Prompts,
    threads: Threads,
    embedded: Embedded,
    log: Log,
    traces: Traces,
  },
  { additionalProperties: false },
);
export type Config = Static<typeof ConfigSchema>;
