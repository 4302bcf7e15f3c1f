import { isIP } from 'node:net';
import { isObject } from '../contracts/objects.js';
import { entriesOf, keysOf, type Mapping } from './defaults.js';
import type { Problem } from './error.js';
import { fieldName, schemaAt, shown } from './fields.js';

/**
 * What a schema cannot say: the names that fields give to each other. The draft may be wrong elsewhere; what
 * has the wrong type is passed over here.
 */
export function crossProblems(draft: Mapping, domains: readonly string[]): Problem[] {
  return [
    ...unknownDomains(draft, domains),
    ...unknownTiers(draft),
    ...escalationCycles(draft),
    ...outputsBeyondWindow(draft),
    ...leastBeyondMost(draft),
  ];
}

function unknownDomains(draft: Mapping, domains: readonly string[]): Problem[] {
  return keysOf(draft.workers)
    .filter((name) => !domains.includes(name))
    .map((name) => ({
      path: fieldName(['workers', name]),
      found: 'an unknown domain',
      expected: `one of ${domains.join(', ')}`,
    }));
}

function unknownTiers(draft: Mapping): Problem[] {
  if (!isObject(draft.tier_models)) return [];
  const known = keysOf(draft.tier_models);
  const expected = `a tier of tier_models (${known.join(', ')})`;
  const references: [keys: string[], tier: unknown][] = [
    ...entriesOf(draft.workers).map(([name, worker]): [string[], unknown] => [
      ['workers', name, 'default_tier'],
      worker.default_tier,
    ]),
    ...entriesOf(draft.tier_models).flatMap(([name, tier]): [string[], unknown][] => [
      [['tier_models', name, 'escalate_to'], tier.escalate_to],
      ...(Array.isArray(tier.fallback) ? tier.fallback : []).map((other, at): [string[], unknown] => [
        ['tier_models', name, 'fallback', String(at)],
        other,
      ]),
    ]),
  ];
  return [
    ...references
      .filter(([, tier]) => typeof tier === 'string' && !known.includes(tier))
      .map(([keys, tier]) => ({ path: fieldName(keys), found: shown(schemaAt(keys), tier), expected })),
    ...keysOf(draft.queues)
      .filter((tier) => !known.includes(tier))
      .map((tier) => ({ path: fieldName(['queues', tier]), found: 'an unknown tier', expected })),
  ];
}

function escalationCycles(draft: Mapping): Problem[] {
  const next = new Map(entriesOf(draft.tier_models).map(([tier, { escalate_to }]) => [tier, escalate_to]));
  const reported = new Set<string>();
  const problems: Problem[] = [];
  for (const start of next.keys()) {
    const path = walk(start, next);
    const end = path.at(-1)!;
    const cycle = path.slice(path.indexOf(end));
    if (cycle.length === 1 || cycle.some((tier) => reported.has(tier))) continue;
    for (const tier of cycle) reported.add(tier);
    problems.push({
      path: fieldName(['tier_models', end, 'escalate_to']),
      found: `the cycle ${cycle.join(' → ')}`,
      expected: 'escalation that comes to an end',
    });
  }
  return problems;
}

/** The tiers from `start` on; the last one stands twice in it when the walk ends in a cycle. */
function walk(start: string, next: ReadonlyMap<string, unknown>): string[] {
  const path = [start];
  for (let tier = next.get(start); typeof tier === 'string' && next.has(tier); tier = next.get(tier)) {
    const again = path.includes(tier);
    path.push(tier);
    if (again) break;
  }
  return path;
}

function outputsBeyondWindow(draft: Mapping): Problem[] {
  return entriesOf(draft.models)
    .filter(
      ([, { context_window, max_output_tokens }]) => Number(max_output_tokens) >= Number(context_window),
    )
    .filter(
      // What has no room for both is no window, and told as that.
      ([, { context_window }]) => typeof context_window === 'number' && context_window > 1,
    )
    .map(([name, { context_window, max_output_tokens }]) => ({
      path: fieldName(['models', name, 'max_output_tokens']),
      found: String(max_output_tokens),
      expected: `less than context_window (${context_window})`,
    }));
}

function leastBeyondMost(draft: Mapping): Problem[] {
  return entriesOf(draft.queues)
    .filter(([, { min_concurrency, concurrency }]) => Number(min_concurrency) > Number(concurrency))
    .map(([name, { min_concurrency, concurrency }]) => ({
      path: fieldName(['queues', name, 'min_concurrency']),
      found: String(min_concurrency),
      expected: `at most concurrency (${concurrency})`,
    }));
}

/**
 * Whoever reaches the service uses it: that others do, who need no token, must be said in so many words. What is wrong
 * by the schema is passed over here.
 */
export function exposure({ server }: Mapping): Problem[] {
  if (!isObject(server)) return [];
  const problems: Problem[] = [];
  const { host } = server;
  const isOpen = server.allow_unauthenticated === false && server.tokens_file === undefined;
  if (isOpen && typeof host === 'string' && !isLoopback(host)) {
    problems.push({
      path: fieldName(['server', 'host']),
      found: host,
      expected:
        'a loopback address, or server.tokens_file (API_TOKENS), or server.allow_unauthenticated (ALLOW_UNAUTHENTICATED) true',
    });
  }
  if ((server.tls_cert_file === undefined) !== (server.tls_key_file === undefined)) {
    const [given, missing] =
      server.tls_key_file === undefined
        ? (['tls_cert_file', 'tls_key_file'] as const)
        : (['tls_key_file', 'tls_cert_file'] as const);
    problems.push({
      path: fieldName(['server', missing]),
      found: 'nothing',
      expected: `a file that goes with ${given}`,
    });
  }
  return problems;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
