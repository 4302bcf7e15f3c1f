import { resolve } from 'node:path';
import type { Mapping } from './defaults.js';

/** An environment variable that sets one field of the configuration. */
export interface EnvironmentVariable {
  readonly name: string;
  readonly field: readonly [section: string, field: string];
  /** The field's value; a text that is not one is left as it is, for the schema to refuse. */
  read(text: string): unknown;
}

export const environmentVariables: readonly EnvironmentVariable[] = [
  { name: 'MODEL_GATEWAY_URL', field: ['gateway', 'url'], read: asText },
  { name: 'MODEL_GATEWAY_API_KEY', field: ['gateway', 'api_key'], read: asText },
  { name: 'RAG_SERVICE_URL', field: ['rag', 'url'], read: asText },
  { name: 'PROMPTS_DIR', field: ['prompts', 'directory'], read: asPath },
  { name: 'DATA_DIR', field: ['store', 'directory'], read: asPath },
  { name: 'DATABASE_URL', field: ['store', 'database_url'], read: asText },
  { name: 'SERVICE_PORT', field: ['server', 'port'], read: asInteger },
  { name: 'WORKERS', field: ['server', 'workers'], read: asInteger },
  { name: 'HOST', field: ['server', 'host'], read: asText },
  { name: 'API_TOKENS', field: ['server', 'tokens_file'], read: asPath },
  { name: 'ALLOW_UNAUTHENTICATED', field: ['server', 'allow_unauthenticated'], read: asFlag },
  { name: 'TLS_CERT_FILE', field: ['server', 'tls_cert_file'], read: asPath },
  { name: 'TLS_KEY_FILE', field: ['server', 'tls_key_file'], read: asPath },
  { name: 'RABBITMQ_HOST', field: ['rabbitmq', 'host'], read: asText },
  { name: 'RABBITMQ_PORT', field: ['rabbitmq', 'port'], read: asInteger },
  { name: 'RABBITMQ_USER', field: ['rabbitmq', 'username'], read: asText },
  { name: 'RABBITMQ_PASSWORD', field: ['rabbitmq', 'password'], read: asText },
  { name: 'RABBITMQ_VHOST', field: ['rabbitmq', 'virtual_host'], read: asText },
  { name: 'RABBITMQ_TLS', field: ['rabbitmq', 'tls'], read: asFlag },
  { name: 'RABBITMQ_TLS_CA_FILE', field: ['rabbitmq', 'tls_ca_file'], read: asPath },
  { name: 'RABBITMQ_TLS_CERT_FILE', field: ['rabbitmq', 'tls_cert_file'], read: asPath },
  { name: 'RABBITMQ_TLS_KEY_FILE', field: ['rabbitmq', 'tls_key_file'], read: asPath },
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', field: ['traces', 'endpoint'], read: asText },
  { name: 'OTEL_TRACES_SAMPLER_ARG', field: ['traces', 'sample_ratio'], read: asNumber },
  { name: 'LOG_LEVEL', field: ['log', 'level'], read: asLevel },
  { name: 'MAX_BODY_BYTES', field: ['server', 'max_body_bytes'], read: asInteger },
  { name: 'GRACE_PERIOD_MS', field: ['server', 'grace_period_ms'], read: asInteger },
];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The text of a variable, trimmed; an empty one is unset. */
export function variable(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

/** The layer of the configuration that the environment sets. */
export function environmentLayer(env: Environment): Mapping {
  const layer: Record<string, Record<string, unknown>> = {};
  for (const { name, field, read } of environmentVariables) {
    const text = variable(env, name);
    const [section, key] = field;
    if (text !== undefined) layer[section] = { ...layer[section], [key]: read(text) };
  }
  return layer;
}

function asText(text: string): string {
  return text;
}

function asInteger(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function asNumber(text: string): number | string {
  return /^(\d+(\.\d+)?|\.\d+)$/.test(text) ? Number(text) : text;
}

function asFlag(text: string): boolean | string {
  return text === 'true' ? true : text === 'false' ? false : text;
}

function asPath(text: string): string {
  return resolve(text);
}

// The services around this one write levels in either case.
function asLevel(text: string): string {
  return text.toLowerCase();
}
