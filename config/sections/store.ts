import Type from '../../contracts/typebox.js';
import { gib, mib } from './sizes.js';
import { isDecodable } from './texts.js';

export const Store = Type.Object(
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
          expected: 'a postgres:// or postgresql:// URL with one host, user and password percent-encoded',
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
      description:
        'Largest size of all outputs in the store, in bytes; above it the oldest outcomes are removed. What else is kept of an outcome, about 1 KB in LMDB and a few in PostgreSQL, is not counted.',
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

/** One host: with several, the client would go round them for ever while none answers. */
function isDatabaseUrl(text: string): boolean {
  const shape = /^postgres(?:ql)?:\/\/(?:[^\s/?#@]*@)?[^\s/?#@,]*(?:\/[^\s?#]*)?(?:\?[^\s#]*)?$/;
  return shape.test(text) && URL.canParse(text) && isDecodable(text);
}
