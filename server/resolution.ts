import { hash } from 'node:crypto';
import type { Config } from '../config/schema.js';
import type { TaskBody } from '../contracts/task.js';
import type { LargeText, ModelTarget, ParsedTask } from '../contracts/threads.js';
import { domains } from '../domains/registry.js';

/** A task whose domain and tier are known. */
export interface ResolvedTask {
  readonly task: TaskBody;
  readonly context: LargeText | undefined;
  readonly requestHash: string;
  readonly tier: string;
  readonly artifactId: string;
}

export interface Unresolved {
  readonly code: 'unknown_domain' | 'unknown_tier';
  readonly path: string;
  readonly detail: string;
}

/** Finds domain and tier of a task; `givenTier` is that of the queue it came from, when it names none itself. */
export function resolve(
  config: Config,
  parsed: ParsedTask & { kind: 'task' },
  givenTier?: string,
): ResolvedTask | Unresolved {
  const { task, context, requestHash } = parsed;
  const worker = Object.hasOwn(config.workers, task.domain) ? config.workers[task.domain] : undefined;
  if (worker === undefined || !domains.has(task.domain)) {
    return {
      code: 'unknown_domain',
      path: '/domain',
      detail: `domain must be one of ${[...domains.keys()].join(', ')}`,
    };
  }
  const tier = task.tier ?? givenTier ?? worker.default_tier;
  if (!Object.hasOwn(config.tier_models, tier)) {
    const known = Object.keys(config.tier_models).join(', ');
    return { code: 'unknown_tier', path: '/tier', detail: `tier must be one of ${known}` };
  }
  return { task, context, requestHash, tier, artifactId: artifactIdOf(task.task_id) };
}

/** The model that a tier uses, as a thread needs to know it. `max_output_tokens` of the task may lower the limit. */
export function targetOf(config: Config, tier: string, task: TaskBody): ModelTarget {
  const { model, endpoint } = config.tier_models[tier]!;
  const { context_window, max_output_tokens, tokenizer, exact_counts } = config.models[model]!;
  const { protocol, stream, response_format, max_tokens_field } = config.endpoints[endpoint]!;
  return {
    model,
    tokenizer,
    exactCounts: exact_counts,
    contextWindow: context_window,
    maxOutputTokens: Math.min(max_output_tokens, task.max_output_tokens ?? max_output_tokens),
    temperature: config.workers[task.domain]!.temperature,
    protocol,
    stream,
    // A request of the other protocol has no field that would ask for it.
    responseFormat: protocol === 'chat_completions' ? response_format : 'none',
    maxTokensField: max_tokens_field,
  };
}

/** Whether a simulator stands in for the model of a tier: neither its endpoint nor the gateway has an address. */
export function isSimulated({ gateway, tier_models, endpoints }: Config, tier: string): boolean {
  return gateway.url === undefined && endpoints[tier_models[tier]!.endpoint]!.url === undefined;
}

/** The same for the same task, whenever and wherever it runs. */
function artifactIdOf(taskId: string): string {
  return `art-${hash('sha256', taskId).slice(0, 32)}`;
}
