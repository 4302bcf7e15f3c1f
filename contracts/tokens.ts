import Type, { type Static } from './typebox.js';
import { compile } from './validator.js';

/** What a token allows: to execute and cancel tasks, to read outcomes and state, to change the running service. */
export const scopes = ['execute', 'read', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** The file of the tokens that callers may present. It holds no token, only what it can be recognised by. */
export const TokenFile = Type.Object(
  {
    tokens: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' }),
          /** SHA-256 of the token, in hexadecimal. A token has 256 random bits: a slow hash would add nothing. */
          sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
          scopes: Type.Array(Type.Enum([...scopes]), { minItems: 1, uniqueItems: true }),
          expires_at: Type.Optional(
            Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?Z$' }),
          ),
        },
        { additionalProperties: false },
      ),
      { maxItems: 1000 },
    ),
  },
  { additionalProperties: false },
);
export type TokenFile = Static<typeof TokenFile>;
export type TokenEntry = TokenFile['tokens'][number];

export const tokenFileValidator = compile(TokenFile);
