import Type from '../../contracts/typebox.js';
import { gib, kib, mib } from './sizes.js';

export const Server = Type.Object(
  {
    host: Type.String({
      pattern: '^[^\\s/]+$',
      expected: 'an IP address or a host name',
      description:
        'Address to listen on, an IP address or a host name. Default: all IPv4 addresses with `tokens_file`, else this machine alone.',
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
    write_timeout_ms: Type.Integer({
      default: 120_000,
      minimum: 10,
      maximum: 3_600_000,
      description:
        'Longest time in which a caller reads nothing of an answer that waits for him, in milliseconds; then his connection is closed. What the buffers of the system hold, some MB, is no reading.',
    }),
    workers: Type.Integer({
      minimum: 1,
      maximum: 256,
      description: 'Processes that share the port; 1 runs without a fork. Default: the cores of the machine.',
    }),
    worker_timeout_ms: Type.Integer({
      default: 30_000,
      minimum: 500,
      maximum: 3_600_000,
      description:
        'Longest time in which a process says nothing to the one that has started it, in milliseconds; then it is killed, and another one takes its place.',
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
