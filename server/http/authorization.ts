import type { HttpRequest } from 'uWebSockets.js';
import { problemOf } from '../../contracts/problem.js';
import type { Scope } from '../../contracts/tokens.js';
import type { Tokens } from '../tokens/tokens.js';
import { problem, type Reply } from './reply.js';

/** What a route asks of its caller. */
export type Access = Scope | 'open';

export type Decision = { readonly caller: string | undefined } | { readonly refusal: Reply };

/**
 * Whether a caller may use a route, by his bearer token (RFC 6750); the decision names the token's holder. Without
 * tokens everybody may, and nothing is looked at.
 */
export function authorize(tokens: Tokens | undefined, req: HttpRequest, access: Access): Decision {
  if (tokens === undefined || access === 'open') return anybody;
  const [, token] = /^bearer +([\w~+/.-]+=*) *$/i.exec(req.getHeader('authorization')) ?? [];
  if (token === undefined) return { refusal: unauthorized('a bearer token is required', '') };
  const holder = tokens.holderOf(token);
  if (holder === undefined)
    return { refusal: unauthorized('the token is not known, or has expired', ', error="invalid_token"') };
  if (!holder.scopes.includes(access)) return { refusal: forbidden(access) };
  return { caller: holder.name };
}

const anybody: Decision = { caller: undefined };

function unauthorized(detail: string, error: string): Reply {
  return problem(problemOf('unauthorized', detail), { 'www-authenticate': `${REALM}${error}` });
}

function forbidden(scope: Scope): Reply {
  return problem(problemOf('forbidden', `the token does not have the scope ${scope}`), {
    'www-authenticate': `${REALM}, error="insufficient_scope", scope="${scope}"`,
  });
}

const REALM = 'Bearer realm="worker-service"';
