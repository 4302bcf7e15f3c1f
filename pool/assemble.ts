import type { Assembled, AssembleJob, MeasureJob, ModelTarget, RepairRequest } from '../contracts/threads.js';
import { answerSchema } from '../domains/answer.js';
import { fitContext } from './context.js';
import { asMaterial, type Prompt, renderPrompt } from './prompt.js';
import type { Tokenizer } from './tokenizers/index.js';
import { domainOf } from './verdict.js';

/**
 * Makes the request to the gateway: renders the template, counts it with the model's tokenizer, and fits the
 * context into what `contextWindow − maxOutputTokens` leaves. Nothing but context is ever left out.
 */
export function assemble(job: AssembleJob, tokenizer: Tokenizer): Assembled {
  const { task, tier, target, template, repair } = job;
  const limit = target.contextWindow - target.maxOutputTokens - RESERVED_TOKENS;
  const repairTokens =
    repair === undefined ? 0 : tokenizer.count(repair.answer) + tokenizer.count(complaintOf(repair));
  const bare = renderPrompt(template, task, tier, target.maxOutputTokens, '');
  const bareTokens = count(bare, tokenizer) + repairTokens;
  if (bareTokens > limit) return { kind: 'overflow', promptTokens: bareTokens, budgetTokens: limit };
  if (job.provided === undefined && job.retrieved === undefined) {
    return assembled(job, bare, bareTokens, tokenizer, { tokens: 0, used: [], dropped: [] });
  }
  let budget = limit - bareTokens - BLOCK_TOKENS;
  for (;;) {
    // Counted as it will stand in the prompt: what keeps blocks closed may cost tokens of its own.
    const { text, ...context } = fitContext(
      job.provided === undefined ? undefined : asMaterial(job.provided),
      job.retrieved && { ...job.retrieved, text: asMaterial(job.retrieved.text) },
      budget,
      tokenizer,
    );
    const prompt = renderPrompt(template, task, tier, target.maxOutputTokens, text);
    const promptTokens = count(prompt, tokenizer) + repairTokens;
    if (promptTokens <= limit) return assembled(job, prompt, promptTokens, tokenizer, context);
    budget -= promptTokens - limit;
  }
}

/** How many tokens the window leaves for context; 0 when the task alone fills it. */
export function measure(job: MeasureJob, tokenizer: Tokenizer): number {
  const bare = renderPrompt(
    job.template,
    job.task,
    job.tier,
    job.target.maxOutputTokens,
    job.task.context ?? '',
  );
  const limit = job.target.contextWindow - job.target.maxOutputTokens - RESERVED_TOKENS - BLOCK_TOKENS;
  return Math.max(0, limit - count(bare, tokenizer));
}

// What a chat template adds around two to four messages: role names and turn marks.
const RESERVED_TOKENS = 32;
// The context block's own tags.
const BLOCK_TOKENS = 16;

function assembled(
  job: AssembleJob,
  prompt: Prompt,
  promptTokens: number,
  tokenizer: Tokenizer,
  context: (Assembled & { kind: 'assembled' })['context'],
): Assembled {
  const request =
    job.target.protocol === 'generate' ? generateRequest(job, prompt) : chatRequest(job, prompt);
  return {
    kind: 'assembled',
    body: new TextEncoder().encode(JSON.stringify(request)),
    promptTokens,
    maxOutputTokens: job.target.maxOutputTokens,
    exact: !tokenizer.approximate,
    context,
  };
}

/** A request of OpenAI chat completions, streamed. */
function chatRequest({ task, target, repair }: AssembleJob, prompt: Prompt): object {
  const messages = [
    { role: 'system', content: prompt.system },
    { role: 'user', content: prompt.user },
  ];
  if (repair !== undefined) {
    messages.push({ role: 'assistant', content: repair.answer });
    messages.push({ role: 'user', content: complaintOf(repair) });
  }
  return {
    model: target.model,
    messages,
    temperature: target.temperature,
    [target.maxTokensField]: target.maxOutputTokens,
    stream: true,
    stream_options: { include_usage: true },
    ...responseFormat(target, task.domain),
  };
}

function responseFormat(target: ModelTarget, domain: string): object {
  switch (target.responseFormat) {
    case 'none':
      return {};
    case 'json_object':
      return { response_format: { type: 'json_object' } };
    case 'json_schema': {
      const name = domain.replace(/[^A-Za-z0-9_-]/g, '_');
      return {
        response_format: {
          type: 'json_schema',
          json_schema: { name, schema: answerSchema(domainOf(domain)) },
        },
      };
    }
  }
}

/** A request of the sister gateway's `POST /generate`. */
function generateRequest({ task, target, repair }: AssembleJob, prompt: Prompt): object {
  const again =
    repair === undefined ? '' : `\n\nYour answer was:\n${repair.answer}\n\n${complaintOf(repair)}`;
  return {
    model: target.model,
    prompt: prompt.user + again,
    system_prompt: prompt.system,
    temperature: target.temperature,
    max_tokens: target.maxOutputTokens,
    stream: true,
    metadata: { task_id: task.task_id },
  };
}

function complaintOf({ violations }: RepairRequest): string {
  const list = violations
    .slice(0, 20)
    .map(({ path, message }) => `- ${path === '' ? 'the answer' : path}: ${message}`);
  return `Your answer could not be used:\n${list.join('\n')}\nAnswer again with the whole, corrected JSON object and nothing else.`;
}

function count({ system, user }: Prompt, tokenizer: Tokenizer): number {
  return countSystem(system, tokenizer) + tokenizer.count(user);
}

// The system part is the same for every task of a domain, so its count is kept.
const systemCounts = new Map<string, number>();

function countSystem(system: string, tokenizer: Tokenizer): number {
  const key = `${tokenizer.name}\n${system}`;
  const known = systemCounts.get(key);
  if (known !== undefined) return known;
  if (systemCounts.size >= 64) systemCounts.clear();
  const tokens = tokenizer.count(system);
  systemCounts.set(key, tokens);
  return tokens;
}
