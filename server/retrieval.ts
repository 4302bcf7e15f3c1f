import type { ContextStatus } from '../contracts/outcome.js';
import type { LargeText, MeasureJob, RetrievedContext } from '../contracts/threads.js';
import type { TraceContext } from '../contracts/trace-context.js';
import { sizeOfText } from '../pool/large-text.js';
import type { Deadline } from './deadline.js';
import type { ExecutionParts } from './execution-parts.js';
import { type ResolvedTask, targetOf } from './resolution.js';

/** The context of a task, before it is fitted into the model's window. */
export interface Retrieved {
  readonly status: ContextStatus;
  readonly provided: LargeText | undefined;
  readonly context: RetrievedContext | undefined;
  /** Why there is none, when it is degraded. */
  readonly detail?: string;
}

/** Takes the context that the task brings, asks the RAG service, or both. Never throws for a service that is down. */
export async function retrieveContext(
  { config, pools, rag, templates }: ExecutionParts,
  { task, context }: ResolvedTask,
  tier: string,
  deadline: Deadline,
  trace: TraceContext | undefined,
): Promise<Retrieved> {
  const mode = task.context_mode ?? (context === undefined ? 'retrieved' : 'provided');
  const provided = mode === 'retrieved' ? undefined : context;
  const none = {
    status: provided === undefined ? ('none' as const) : ('provided' as const),
    provided,
    context: undefined,
  };
  if (mode === 'provided') return none;
  const template = templates.of(task.domain);
  const target = targetOf(config, tier, task);
  const wanted = config.rag.max_context_tokens;
  const job: MeasureJob = { task, provided, tier, target, template };
  // A trip to a thread less for a short task: what it leaves need not be known exactly where it is plenty.
  const maxTokens = leavesAtLeast(wanted, job)
    ? wanted
    : Math.min(wanted, await pools.tier(tier).measure(job));
  if (maxTokens === 0) return none;
  const query = { query: task.description, domain: task.domain, projectId: task.project_id, maxTokens };
  const answer = await rag.retrieve(query, deadline, trace);
  if ('degraded' in answer)
    return { status: 'degraded', provided, context: undefined, detail: answer.degraded };
  if (sizeOfText(answer.text) === 0) return none;
  return { status: provided === undefined ? 'retrieved' : 'both', provided, context: answer };
}

/**
 * Whether the window leaves so many tokens by the roughest of bounds: a token stands for a byte or more. False says
 * nothing. A template that says the task's text several times may leave less: then the fit drops what is too much.
 */
function leavesAtLeast(tokens: number, { task, provided, target, template }: MeasureJob): boolean {
  const inputs = task.inputs?.reduce((sum, { content }) => sum + content.length, 0) ?? 0;
  const large = task.description.length + inputs + sizeOfText(provided);
  const left = target.contextWindow - target.maxOutputTokens - template.parts.byteLength - tokens;
  if (large * BYTES_PER_CHARACTER > left) return false;
  return (JSON.stringify(task).length + sizeOfText(provided)) * BYTES_PER_CHARACTER <= left;
}

// Of UTF-16, at most: three as UTF-8, or the four of `&lt;`, which a `<` may become.
const BYTES_PER_CHARACTER = 4;
