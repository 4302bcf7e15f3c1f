import Type from '../../contracts/typebox.js';
import { gib, kib, mib } from './sizes.js';
import { baseUrl, secret } from './texts.js';

export const Gateway = Type.Object(
  {
    url: Type.Optional(
      baseUrl('Base URL of the Model Gateway, http or https. Default: none, the embedded simulator answers.'),
    ),
    api_key: Type.Optional(secret('Bearer token for the gateway. Secret. Default: none.')),
    max_attempts: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 100,
      description: 'Calls that fail before a task gives its tier up, those of repairs included.',
    }),
    backoff_base_ms: Type.Integer({
      default: 200,
      minimum: 0,
      maximum: 600_000,
      description:
        'Grows the pause before a retry, in milliseconds: the first is a random time up to twice this, and that limit doubles each time. Never less than 50 ms; a `Retry-After` is waited for whole, if the deadline allows it.',
    }),
    backoff_max_ms: Type.Integer({
      default: 5_000,
      minimum: 0,
      maximum: 600_000,
      description: 'Limit of the random pause before a retry, in milliseconds.',
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
      description:
        'Longest silence inside a stream, in milliseconds. The first bytes may take as long as the tier allows.',
    }),
    connections: Type.Integer({
      default: 256,
      minimum: 1,
      maximum: 65_535,
      description: 'Most connections of a tier to one origin.',
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
      description:
        'How long other calls leave an endpoint alone at most that asks for a pause by `Retry-After`, in milliseconds.',
    }),
    max_stream_bytes: Type.Integer({
      default: 128 * mib,
      minimum: kib,
      maximum: 16 * gib,
      description:
        'Largest answer of the gateway, in bytes, on the wire and decoded; a longer one is aborted.',
    }),
  },
  { additionalProperties: false, description: 'Calls to the Model Gateway.' },
);
