import { logLevels } from '../contracts/cluster.js';
import Type, { type Static } from '../contracts/typebox.js';

const kib = 1024;
const mib = 1024 * kib;
const gib = 1024 * mib;

/** Of tiers, domains and endpoints. */
const namePattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$';
/** Of exchanges, and of what queues and routing keys begin with. */
const amqpNamePattern = namePattern;
const modelNamePattern = '^[A-Za-z0-9@][!-~]{0,255}$';
const Name = Type.String({ pattern: namePattern });
const ModelName = Type.String({ pattern: modelNamePattern });

/** What is asked of texts whose rule is not readable from the schema; for errors and the reference. */
export const expectations = {
  name: 'a name of 1 to 64 letters, digits, `.`, `_` and `-`',
  modelName: 'a model name of 1 to 256 visible ASCII characters',
  url: 'an http or https URL without query and fragment',
  secret: 'visible ASCII characters without spaces',
  databaseUrl: 'a postgres:// or postgresql:// URL with one host, user and password percent-encoded',
  template: 'a relative path without `..`',
  brokers:
    'hosts, host:port pairs or amqp(s) URLs, user and password percent-encoded, with commas between them',
  amqpName: 'a name of 1 to 64 letters, digits, `.`, `_` and `-`',
} as const;

/** The default tier of each domain. */
export const defaultTiers: ReadonlyMap<string, string> = new Map([
  ['code-general', 'small'],
  ['code-vision', 'large'],
  ['code-embedded', 'small'],
  ['documentation', 'small'],
  ['ui-design', 'large'],
]);

/** The tiers of a file that has none. */
export const defaultTierModels = {
  tiny: { model: 'gemma3:4b', endpoint: 'ollama_gpu_general' },
  small: { model: 'gemma3:12b', endpoint: 'ollama_gpu_general' },
  large: { model: 'openai/gpt-oss-20b', endpoint: 'vllm_gpu' },
  coding: { model: 'qwen3-coder:30b-a3b-q8_0-64k', endpoint: 'ollama_cpu_large' },
  frontier: { model: 'claude-sonnet-4-20250514', endpoint: 'anthropic' },
};

/** The queues of the default tiers, timeouts in seconds; any other tier's has the default of each field. */
export const defaultQueues: ReadonlyMap<string, { concurrency: number; timeout: number; nice: number }> =
  new Map([
    ['tiny', { concurrency: 10, timeout: 60, nice: 0 }],
    ['small', { concurrency: 5, timeout: 120, nice: 0 }],
    ['large', { concurrency: 2, timeout: 300, nice: 10 }],
    ['coding', { concurrency: 2, timeout: 300, nice: 10 }],
    ['frontier', { concurrency: 1, timeout: 600, nice: 10 }],
  ]);

/** Share of a model's context window that its output may take when `max_output_tokens` is not set. */
export const outputShare = 0.3;

/** Heap of a thread in MiB where the documents that it may get are not larger than usual. */
export const usualThreadMemoryMb = 512;

/** What is assumed of a model by its name; the first match counts. Windows in tokens. */
export const modelFamilies = [
  { prefix: 'gemma3', contextWindow: 32_768, tokenizer: 'gemma3' },
  { part: 'gpt-oss', contextWindow: 32_768, tokenizer: 'o200k_harmony' },
  { prefix: 'qwen3', contextWindow: 65_536, tokenizer: 'qwen3' },
  { part: 'claude', contextWindow: 200_000, tokenizer: 'claude' },
  { part: '', contextWindow: 32_768, tokenizer: 'o200k_harmony' },
] as const;

const Server = Type.Object(
  {
    host: Type.String({
      pattern: '^[^\\s/]+$',
      expected: 'an IP address or a host name',
      description:
        'Address to listen on, an IP address or a host name. Default: all addresses with `tokens_file`, else this machine alone.',
    }),
    tokens_file: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'File of the bearer tokens that callers must present, made by `npm run tokens`; read again when it changes. Default: none.',
      }),
    ),
    allow_unauthenticated: Type.Boolean({
      default: false,
      description: 'Without `tokens_file`: whether to listen on an address that others can reach.',
    }),
    tls_cert_file: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Certificate chain, PEM; with `tls_key_file` the service speaks HTTPS. Default: none.',
      }),
    ),
    tls_key_file: Type.Optional(
      Type.String({ minLength: 1, description: 'Private key of the certificate, PEM. Default: none.' }),
    ),
    page: Type.Boolean({
      default: true,
      description: 'Whether the live page is served at `/`, and its data at `/live`.',
    }),
    docs: Type.Boolean({
      default: true,
      description: 'Whether `/docs` shows the OpenAPI document.',
    }),
    max_tasks_per_caller: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 1_000_000,
      description:
        'Requests of `POST /execute` that one caller (a token, else an address) may have open in a process; the next one is answered 429. 0 is no limit.',
    }),
    max_connections: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 1_000_000,
      description: 'Connections that a process has open at most; the next one is closed. 0 is no limit.',
    }),
    port: Type.Integer({
      default: 8000,
      minimum: 0,
      maximum: 65_535,
      description: 'TCP port to listen on; 0 is any free one.',
    }),
    max_body_bytes: Type.Integer({
      default: 8 * mib,
      minimum: kib,
      maximum: gib,
      description: 'Largest request body, in bytes; a larger one is answered 413.',
    }),
    body_timeout_ms: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 600_000,
      description: 'Longest time for a request body to arrive whole, in milliseconds.',
    }),
    stream_keep_alive_ms: Type.Integer({
      default: 15_000,
      minimum: 10,
      maximum: 600_000,
      description:
        'Longest silence on a stream of server-sent events, in milliseconds; then a comment is sent, so that no proxy takes the connection for a dead one.',
    }),
    workers: Type.Integer({
      minimum: 1,
      maximum: 256,
      description: 'Processes that share the port; 1 runs without a fork. Default: the cores of the machine.',
    }),
    grace_period_ms: Type.Integer({
      default: 30_000,
      minimum: 0,
      maximum: 3_600_000,
      description: 'Time that running tasks get to end after SIGTERM, in milliseconds.',
    }),
  },
  { additionalProperties: false, description: 'The HTTP server.' },
);

const Worker = Type.Object(
  {
    prompt_template: Type.Refine(
      Type.String({
        expected: expectations.template,
        description:
          'Template of the prompt, a path inside `prompts.directory`. Default: `workers/` and the name of the domain, with `_` for `-`, and `.md`.',
      }),
      isInnerPath,
    ),
    default_tier: Type.String({
      minLength: 1,
      description: 'Tier of a task that names none. Default: see the table.',
    }),
    temperature: Type.Number({
      default: 0.2,
      minimum: 0,
      maximum: 2,
      description: 'Sampling temperature, without a unit, 0 to 2.',
    }),
  },
  { additionalProperties: false },
);

const TierModel = Type.Object(
  {
    model: Type.String({
      pattern: modelNamePattern,
      expected: expectations.modelName,
      description: 'Name of the model, as the gateway knows it.',
    }),
    endpoint: Type.String({
      pattern: namePattern,
      expected: expectations.name,
      description: 'Name of the endpoint that serves it; sent as `X-Model-Endpoint`.',
    }),
    escalate_to: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Tier that takes over when the model says that it needs a larger one. Default: none.',
      }),
    ),
    fallback: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      maxItems: 16,
      description: 'Tiers to try in this order when the endpoint cannot be had.',
    }),
  },
  { additionalProperties: false },
);

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
      description: 'Time from admission to outcome, repairs and retries included, in seconds.',
    }),
    max_waiting: Type.Integer({
      default: 256,
      minimum: 0,
      maximum: 1_000_000,
      description: 'Tasks that may wait for a slot; the next one is answered 429.',
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

const Model = Type.Object(
  {
    context_window: Type.Integer({
      minimum: 256,
      maximum: 100_000_000,
      description: 'Prompt and output together, in tokens. Default: by family, see the table.',
    }),
    max_output_tokens: Type.Integer({
      minimum: 1,
      maximum: 100_000_000,
      description:
        'Most output of one call, in tokens, less than the window. Default: 30% of `context_window`, rounded down.',
    }),
    tokenizer: Type.Enum(['o200k_harmony', 'gemma3', 'qwen3', 'claude'], {
      description: 'Vocabulary that tokens are counted with. Default: by family, see the table.',
    }),
  },
  { additionalProperties: false },
);

const Endpoint = Type.Object(
  {
    protocol: Type.Enum(['chat_completions', 'generate'], {
      default: 'chat_completions',
      description:
        'Wire protocol: `chat_completions` is OpenAI-compatible `POST {url}/chat/completions`, `generate` the gateway’s own `POST {url}/generate`.',
    }),
    stream: Type.Boolean({
      default: true,
      description:
        'Whether answers are asked for as a stream. `false` for a server that only answers whole; then nothing is known of an answer before its end.',
    }),
    url: Type.Optional(baseUrl('Base URL, http or https, in place of `gateway.url`. Default: none.')),
    response_format: Type.Enum(['none', 'json_object', 'json_schema'], {
      default: 'none',
      description: 'The structured output that the endpoint is able to give.',
    }),
    max_tokens_field: Type.Enum(['max_tokens', 'max_completion_tokens'], {
      default: 'max_tokens',
      description: 'Name of the field that bounds the output.',
    }),
    api_key: Type.Optional(secret('Bearer token, in place of `gateway.api_key`. Secret. Default: none.')),
  },
  { additionalProperties: false },
);

const Gateway = Type.Object(
  {
    url: Type.Optional(
      baseUrl('Base URL of the Model Gateway, http or https. Default: none, the embedded simulator answers.'),
    ),
    api_key: Type.Optional(secret('Bearer token for the gateway. Secret. Default: none.')),
    max_attempts: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 100,
      description: 'Calls to one endpoint for one prompt, the first included.',
    }),
    backoff_base_ms: Type.Integer({
      default: 200,
      minimum: 0,
      maximum: 600_000,
      description: 'Pause before the first retry, in milliseconds; it doubles each time, with jitter.',
    }),
    backoff_max_ms: Type.Integer({
      default: 5_000,
      minimum: 0,
      maximum: 600_000,
      description: 'Longest pause before a retry, in milliseconds.',
    }),
    connect_timeout_ms: Type.Integer({
      default: 5_000,
      minimum: 1,
      maximum: 600_000,
      description: 'Longest time to connect, TLS included, in milliseconds.',
    }),
    idle_timeout_ms: Type.Integer({
      default: 60_000,
      minimum: 1,
      maximum: 3_600_000,
      description: 'Longest silence inside a stream, in milliseconds.',
    }),
    connections: Type.Integer({
      default: 256,
      minimum: 1,
      maximum: 65_535,
      description: 'Most connections to one origin.',
    }),
    breaker_failures: Type.Integer({
      default: 10,
      minimum: 1,
      maximum: 1_000_000,
      description:
        'Calls of one endpoint that fail one after the other (not reached, or 5xx) before it counts as down.',
    }),
    breaker_open_ms: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 3_600_000,
      description:
        'Time that an endpoint that is down is left alone before one call tries it, in milliseconds.',
    }),
    pause_max_ms: Type.Integer({
      default: 60_000,
      minimum: 0,
      maximum: 3_600_000,
      description: 'Longest pause of an endpoint that asks for one by `Retry-After`, in milliseconds.',
    }),
    max_stream_bytes: Type.Integer({
      default: 128 * mib,
      minimum: kib,
      maximum: 16 * gib,
      description: 'Largest answer of the gateway on the wire, in bytes; a longer one is aborted.',
    }),
  },
  { additionalProperties: false, description: 'Calls to the Model Gateway.' },
);

const Rag = Type.Object(
  {
    url: Type.Optional(
      baseUrl(
        'Base URL of the RAG service, http or https; user and password in it are sent. Default: none, the embedded retriever answers.',
      ),
    ),
    timeout_ms: Type.Integer({
      default: 2_000,
      minimum: 1,
      maximum: 600_000,
      description: 'Longest time for one query, in milliseconds; then the task goes on without context.',
    }),
    retries: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 10,
      description: 'Further queries after one that failed.',
    }),
    max_response_bytes: Type.Integer({
      default: 8 * mib,
      minimum: kib,
      maximum: gib,
      description: 'Largest answer, in bytes.',
    }),
    cache_ttl_seconds: Type.Number({
      default: 300,
      minimum: 0.001,
      maximum: 604_800,
      description: 'Age at which a cached answer is dropped, in seconds.',
    }),
    cache_max_entries: Type.Integer({
      default: 1_000,
      minimum: 0,
      maximum: 1_000_000,
      description: 'Most answers in the cache; 0 turns it off.',
    }),
    cache_max_bytes: Type.Integer({
      default: 64 * mib,
      minimum: kib,
      maximum: 16 * gib,
      description:
        'Largest size of the cache in each worker, in bytes; the oldest answers make room, and an answer that is larger by itself is not kept.',
    }),
    max_context_tokens: Type.Integer({
      default: 8_192,
      minimum: 1,
      maximum: 10_000_000,
      description: 'Most context asked for, in tokens; less when the model’s window leaves less.',
    }),
  },
  { additionalProperties: false, description: 'Retrieval of context from the RAG service.' },
);

const Output = Type.Object(
  {
    repairs: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 10,
      description: 'Further calls to mend an invalid output.',
    }),
    max_bytes: Type.Integer({
      default: 4 * mib,
      minimum: kib,
      maximum: gib,
      description: 'Largest output of a model, in bytes of UTF-8.',
    }),
  },
  { additionalProperties: false, description: 'What becomes of a model’s output.' },
);

const Store = Type.Object(
  {
    directory: Type.String({
      default: './data',
      minLength: 1,
      description: 'Directory of the embedded store.',
    }),
    database_url: Type.Optional(
      Type.Refine(
        Type.String({
          secret: true,
          expected: expectations.databaseUrl,
          description:
            'URL of a PostgreSQL database, which then is the store, shared by all nodes that name it: `postgres://user:password@host:5432/database?sslmode=verify-full`. Default: none, the embedded store is used.',
        }),
        isDatabaseUrl,
      ),
    ),
    lease_ms: Type.Integer({
      default: 10_000,
      minimum: 1_000,
      maximum: 3_600_000,
      description:
        'Time after which another node may execute the tasks of one that died, in milliseconds; a living one renews its claims five times as often. Only with `database_url`.',
    }),
    retention_seconds: Type.Number({
      default: 604_800,
      minimum: 0.001,
      maximum: 3_153_600_000,
      description: 'Age at which an outcome and its artifact are removed, in seconds.',
    }),
    max_bytes: Type.Integer({
      default: 4 * gib,
      minimum: mib,
      maximum: 1024 * gib,
      description: 'Largest size of the store, in bytes; above it the oldest outcomes are removed.',
    }),
    prune_interval_seconds: Type.Number({
      default: 60,
      minimum: 0.001,
      maximum: 86_400,
      description: 'Time between two rounds of removal, in seconds.',
    }),
  },
  { additionalProperties: false, description: 'The store of outcomes and artifacts.' },
);

const Rabbitmq = Type.Object(
  {
    host: Type.Optional(
      Type.Refine(
        Type.String({
          brokers: true,
          expected: expectations.brokers,
          description:
            'Broker: a host, `host:port`, an `amqp://` or `amqps://` URL, or a list of these with commas between them, tried in turn. Default: none, no events.',
        }),
        isBrokerList,
      ),
    ),
    port: Type.Integer({
      default: 5672,
      minimum: 1,
      maximum: 65_535,
      description: 'TCP port of a host that names none (with TLS, 5671 takes the place of 5672).',
    }),
    username: Type.String({
      default: 'guest',
      minLength: 1,
      description: 'User, where the URL names none.',
    }),
    password: secret('Password, where the URL names none. Secret. Default: `guest`.', 'guest'),
    virtual_host: Type.String({
      default: '/',
      minLength: 1,
      description: 'Virtual host, where the URL names none.',
    }),
    tls: Type.Boolean({
      default: false,
      description: 'Whether hosts that are not URLs are spoken to by TLS.',
    }),
    tls_ca_file: Type.Optional(
      Type.String({
        minLength: 1,
        description: "Certificates of the authorities to trust, PEM. Default: Node's.",
      }),
    ),
    tls_cert_file: Type.Optional(
      Type.String({ minLength: 1, description: 'Certificate of this client, PEM. Default: none.' }),
    ),
    tls_key_file: Type.Optional(
      Type.String({ minLength: 1, description: 'Key of this client, PEM. Default: none.' }),
    ),
    exchange: Type.String({
      default: 'tasks',
      pattern: amqpNamePattern,
      expected: expectations.amqpName,
      description: 'Topic exchange that tasks come from and outcomes go to.',
    }),
    queue_prefix: Type.String({
      default: 'worker.task',
      pattern: amqpNamePattern,
      expected: expectations.amqpName,
      description: 'What the names of all queues of the service begin with.',
    }),
    routing_prefix: Type.String({
      default: 'task',
      pattern: amqpNamePattern,
      expected: expectations.amqpName,
      description:
        'What all routing keys begin with: `.ready.{tier}`, `.cancelled`, `.output.created`, `.failed` follow.',
    }),
    heartbeat_seconds: Type.Integer({
      default: 20,
      minimum: 1,
      maximum: 600,
      description: 'A connection that is silent for two of these is given up, in seconds.',
    }),
    connect_timeout_ms: Type.Integer({
      default: 10_000,
      minimum: 100,
      maximum: 600_000,
      description: 'Longest time to connect, in milliseconds.',
    }),
    reconnect_max_ms: Type.Integer({
      default: 10_000,
      minimum: 100,
      maximum: 600_000,
      description: 'Longest pause between two attempts to connect, in milliseconds; it begins at 100.',
    }),
    confirm_timeout_ms: Type.Integer({
      default: 15_000,
      minimum: 100,
      maximum: 600_000,
      description:
        'Longest wait for the confirm of a publish, in milliseconds; then it is repeated under the same id.',
    }),
    max_attempts: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 100,
      description: 'Executions of one task, the first included, before it has failed for good.',
    }),
    retry_delays_ms: Type.Array(Type.Integer({ minimum: 1, maximum: 86_400_000 }), {
      default: [1_000, 10_000, 60_000],
      minItems: 1,
      maxItems: 16,
      expected: 'a list of 1 to 16 integers from 1 to 86400000',
      description:
        'Time that a task waits in the broker before its second, third, … execution, in milliseconds; the last one holds for all further.',
    }),
    delivery_limit: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 1_000,
      description:
        'Times that a message may come back without an answer, because its process died, before its task fails and it is dead-lettered. An argument of the queues: to change it, delete them when they are empty.',
    }),
    max_message_bytes: Type.Integer({
      default: 9 * mib,
      minimum: kib,
      maximum: 128 * mib,
      description: 'Largest message that is executed, in bytes; a larger one is dead-lettered.',
    }),
  },
  { additionalProperties: false, description: 'Events from and to RabbitMQ.' },
);

const Prompts = Type.Object(
  {
    directory: Type.String({
      default: './prompts',
      minLength: 1,
      description: 'Directory of the prompt templates.',
    }),
    reload: Type.Boolean({
      default: true,
      description: 'Whether a template that changes on disk is read again without a restart.',
    }),
  },
  { additionalProperties: false, description: 'Prompt templates.' },
);

const Threads = Type.Object(
  {
    max_memory_mb: Type.Integer({
      minimum: 32,
      maximum: 65_536,
      description:
        'Largest heap of one thread, in MiB; a thread that needs more is replaced. At least 32 times the largest of `server.max_body_bytes`, `rabbitmq.max_message_bytes`, `rag.max_response_bytes` and `output.max_bytes`. Default: that, and at least 512.',
    }),
  },
  { additionalProperties: false, description: 'The threads of the pools.' },
);

const Embedded = Type.Object(
  {
    documents: Type.String({
      default: './docs/examples',
      minLength: 1,
      description: 'Directory of the documents that the embedded retriever searches.',
    }),
    simulator: Type.Record(Type.String(), Type.Unknown(), {
      default: { ttftMs: 30, tokensPerSecond: 400 },
      description:
        'Knobs of the gateway simulator, laid over the default (`ttftMs`: milliseconds to the first byte; see `docs/simulators.md`).',
    }),
  },
  { additionalProperties: false, description: 'Stand-ins for the services that are not configured.' },
);

const Log = Type.Object(
  {
    level: Type.Enum([...logLevels], {
      default: 'info',
      description: 'Least severity that is logged; `PUT /log-level` changes it while the service runs.',
    }),
    prompts: Type.Boolean({
      default: false,
      description:
        'For debugging: whether prompts and outputs are logged, and what models and gateways say in errors.',
    }),
  },
  { additionalProperties: false, description: 'Logs.' },
);

const Traces = Type.Object(
  {
    endpoint: Type.Optional(
      baseUrl(
        'Base URL of a collector that takes OTLP over HTTP; spans go to `{endpoint}/v1/traces` as JSON. The variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) hold. Default: none, no trace is taken.',
      ),
    ),
    sample_ratio: Type.Number({
      default: 1,
      minimum: 0,
      maximum: 1,
      description:
        'Share of the traces that begin here which are taken, 0 to 1; a task that brings a `traceparent` follows its sampled flag.',
    }),
  },
  { additionalProperties: false, description: 'Traces (OpenTelemetry).' },
);

/** The effective configuration: the file and the environment laid over the defaults. */
export const ConfigSchema = Type.Object(
  {
    server: Server,
    workers: Type.Record(Name, Worker, {
      additionalProperties: false,
      names: expectations.name,
      description: 'The workers, by domain. A domain without an entry has the defaults.',
    }),
    tier_models: Type.Record(Name, TierModel, {
      additionalProperties: false,
      names: expectations.name,
      default: defaultTierModels,
      description:
        'The tiers. When the section is given, it is the whole list: a default tier that it leaves out does not exist.',
    }),
    queues: Type.Record(Name, Queue, {
      additionalProperties: false,
      names: expectations.name,
      description: 'Limits by tier. A tier without an entry has the defaults.',
    }),
    models: Type.Record(ModelName, Model, {
      additionalProperties: false,
      names: expectations.modelName,
      description: 'What is known of the models, by name. A model without an entry has the defaults.',
    }),
    endpoints: Type.Record(Name, Endpoint, {
      additionalProperties: false,
      names: expectations.name,
      description: 'How endpoints are spoken to, by name. An endpoint without an entry has the defaults.',
    }),
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

/** The text of a bearer token: what an HTTP header takes. */
function secret(description: string, preset?: string) {
  return Type.String({
    pattern: '^[!-~]+$',
    secret: true,
    expected: expectations.secret,
    description,
    ...(preset !== undefined && { default: preset }),
  });
}

function baseUrl(description: string) {
  return Type.Refine(Type.String({ url: true, expected: expectations.url, description }), isBaseUrl);
}

// Narrower than what URL takes, so that credentials can only stand where they are looked for when masked.
function isBaseUrl(text: string): boolean {
  return /^https?:\/\/[^\s/?#\\][^\s?#\\]*$/i.test(text) && URL.canParse(text);
}

function isBrokerList(text: string): boolean {
  return text.split(',').every((item) => isBroker(item.trim()));
}

function isBroker(text: string): boolean {
  if (/^(\[[0-9a-f:]+\]|[\w.-]+)(:\d{1,5})?$/i.test(text)) return URL.canParse(`amqp://${text}`);
  return (
    /^amqps?:\/\/([^\s/?#@]*@)?[^\s/?#@]+(\/[^\s/?#]*)?$/i.test(text) &&
    URL.canParse(text) &&
    isDecodable(text)
  );
}

/** One host: with several, the client would go round them for ever while none answers. */
function isDatabaseUrl(text: string): boolean {
  const shape = /^postgres(?:ql)?:\/\/(?:[^\s/?#@]*@)?[^\s/?#@,]*(?:\/[^\s?#]*)?(?:\?[^\s#]*)?$/;
  return shape.test(text) && URL.canParse(text) && isDecodable(text);
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function isInnerPath(path: string): boolean {
  return /^[^/\\\0][^\\\0]*$/.test(path) && !path.split('/').includes('..');
}
