import type { Attempt } from '../contracts/outcome.js';
import type { Deadline } from './deadline.js';
import type { ExecutionParts } from './execution-parts.js';
import type { ExecutionWatcher } from './execution-watcher.js';
import { type Generation, generate } from './generation.js';
import { type Journal, openJournal } from './journal.js';
import { conclude, type Executed, type Generated, interrupted } from './outcome.js';
import type { ResolvedTask } from './resolution.js';
import { type Retrieved, retrieveContext } from './retrieval.js';
import { beginStage } from './stages.js';
import { FREE_AFTER_MS, type Saturated } from './wait-queue.js';

/**
 * Runs one task through every stage. Knows neither HTTP nor AMQP, and never throws for what may be expected:
 * a failure is an outcome.
 */
export async function execute(
  parts: ExecutionParts,
  resolved: ResolvedTask,
  deadline: Deadline,
  watcher: ExecutionWatcher,
): Promise<Executed> {
  const acceptedAt = new Date();
  const startedAt = performance.now();
  const journal = openJournal(parts.templates.of(resolved.task.domain));
  let tier = resolved.tier;
  let entry: Generation['entry'] = 'first';
  let retrieved: Retrieved | undefined;
  let generated: Generated;
  const tried = new Set<string>();
  let fallbacks = parts.config.tier_models[tier]!.fallback;
  for (;;) {
    tried.add(tier);
    if (entry !== 'first') watcher.reset(entry, journal.attempts.length + 1);
    const hasFallback = fallbacks.some((other) => !tried.has(other));
    const waits = beginStage('wait', journal, watcher);
    const slot = await parts.slots.acquire(tier, deadline, watcher.from);
    waits.end();
    if (slot === undefined) {
      generated = interrupted(deadline.interruption!);
      break;
    }
    if ('retryAfterSeconds' in slot) generated = saturated(tier, slot);
    else {
      try {
        retrieved ??= await retrieve(parts, resolved, tier, deadline, watcher, journal);
        generated = await generate({
          parts,
          resolved,
          tier,
          retrieved,
          deadline,
          watcher,
          journal,
          entry,
          hasFallback,
        });
      } catch (error) {
        parts.onFault(resolved.task.task_id, error as Error);
        // A thread tells of what went wrong in it with its stack.
        const [detail] = (error as Error).message.split('\n', 1);
        generated = { kind: 'failed', code: 'internal_error', detail: detail! };
      } finally {
        if (deadline.interruption !== undefined || isCut(journal.attempts.at(-1)?.ended))
          setTimeout(() => slot.release(), FREE_AFTER_MS);
        else slot.release();
      }
    }
    if (generated.kind === 'escalate') {
      tier = generated.tier;
      entry = 'escalation';
      fallbacks = parts.config.tier_models[tier]!.fallback;
      continue;
    }
    const other = fallsBack(generated, entry) ? fallbacks.find((name) => !tried.has(name)) : undefined;
    if (other === undefined) break;
    tier = other;
    entry = 'fallback';
  }
  return conclude({ parts, resolved, tier, journal, acceptedAt, startedAt }, generated);
}

function saturated(tier: string, { retryAfterSeconds }: Saturated): Generated {
  const detail = `all slots of tier ${tier} are taken, and its queue is full or longer than the deadline`;
  return { kind: 'failed', code: 'tier_saturated', detail, retryAfterSeconds };
}

async function retrieve(
  parts: ExecutionParts,
  resolved: ResolvedTask,
  tier: string,
  deadline: Deadline,
  watcher: ExecutionWatcher,
  journal: Journal,
): Promise<Retrieved> {
  const retrieves = beginStage('context', journal, watcher);
  const retrieved = await retrieveContext(parts, resolved, tier, deadline, retrieves.context);
  retrieves.end();
  journal.contextStatus = retrieved.status;
  journal.contextDetail = retrieved.detail;
  return retrieved;
}

/** The connection of a call that ended so may still be open at its other end. */
function isCut(ended: Attempt['ended'] | undefined): boolean {
  return ended === 'aborted' || ended === 'broken' || ended === 'unreachable';
}

/** A tier without an endpoint does; and one that stands in for it and has no room. */
function fallsBack(generated: Generated, entry: Generation['entry']): boolean {
  if (generated.kind !== 'failed') return false;
  return (
    generated.code === 'gateway_unavailable' || (generated.code === 'tier_saturated' && entry === 'fallback')
  );
}
