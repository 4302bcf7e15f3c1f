import type { Assembled, AssembleJob, MeasureJob, ModelTarget, RepairRequest } from '../contracts/threads.js';
import { answerSchema } from '../domains/answer.js';
import { fitContext, type RetrievedText } from './context.js';
import { unpackText } from './large-text.js';
import { asMaterial, viewOf } from './prompt.js';
import { templateOf } from './template.js';
import type { Tokenizer } from './tokenizers/index.js';
import { domainOf } from './verdict.js';

/**
 * Makes the request to the gateway: renders the template, counts it with the model's tokenizer, and fits the
 * context into what `contextWindow − maxOutputTokens` leaves. Nothing but context is ever left out.
 */
export function assemble(job: AssembleJob, tokenizer: Tokenizer): Assembled {
  const { target, repair } = job;
  const system = systemOf(job, tokenizer);
  const repairTokens =
    repair === undefined ? 0 : tokenizer.count(repair.answer) + tokenizer.count(complaintOf(repair));
  const fixedTokens = system.tokens + repairTokens;
  const limit = target.contextWindow - target.maxOutputTokens - RESERVED_TOKENS;
  const room = limit - fixedTokens;
  const material = materialOf(job);
  let budget = isLarge(material, room) ? room - tokensAround(job, room, tokenizer) : room;
  for (let whole = budget + SEAM_TOKENS; ; whole = budget) {
    const { text, ...context } = fitContext(material.provided, material.retrieved, budget, whole, tokenizer);
    const user = templateOf(job.template).renderUser(
      viewOf(job.task, job.tier, target.maxOutputTokens, text),
    );
    // More than that would not fit without the context either.
    const userTokens = tokenizer.countUpTo(user, Math.max(0, room) + context.tokens);
    if (userTokens !== undefined && userTokens <= room) {
      const promptTokens = fixedTokens + userTokens;
      const body = requestOf(job, system, user);
      return {
        kind: 'assembled',
        body,
        promptTokens,
        context,
        outputRoom:
          target.contextWindow -
          (promptTokens - repairTokens - context.tokens) -
          RESERVED_TOKENS -
          LIMIT_TOKENS,
      };
    }
    if (text === '') return overflowOf(user, fixedTokens, limit, tokenizer);
    const over = (userTokens ?? Number.POSITIVE_INFINITY) - room;
    budget = Math.max(0, Math.min(budget - 1, context.tokens - over));
  }
}

/** How many tokens the window leaves for context; 0 when the task alone fills it. */
export function measure(job: MeasureJob, tokenizer: Tokenizer): number {
  const { target, task, template, provided } = job;
  const user = templateOf(template).renderUser(
    viewOf(
      task,
      job.tier,
      target.maxOutputTokens,
      asMaterial(provided === undefined ? '' : unpackText(provided)),
    ),
  );
  const fixedTokens = systemOf(job, tokenizer).tokens + RESERVED_TOKENS + BLOCK_TOKENS;
  const room = Math.max(0, target.contextWindow - target.maxOutputTokens - fixedTokens);
  return room - (tokenizer.countUpTo(user, room) ?? room);
}

// What a chat template adds around two to four messages: role names and turn marks.
const RESERVED_TOKENS = 32;
// The context block's own tags.
const BLOCK_TOKENS = 16;
// A context of one token.
const LEAST_CONTEXT = 'x';
// What the ends of a context may save when they join the lines around it.
const SEAM_TOKENS = 4;
// What a prompt may grow by when it names a larger limit.
const LIMIT_TOKENS = 8;

interface Material {
  readonly provided: string | undefined;
  readonly retrieved: RetrievedText | undefined;
}

/** Context as it will stand in the prompt: to keep blocks closed may cost tokens of its own. */
function materialOf({ provided, retrieved }: AssembleJob): Material {
  return {
    provided: provided === undefined ? undefined : asMaterial(unpackText(provided)),
    retrieved: retrieved && { text: asMaterial(unpackText(retrieved.text)), sources: retrieved.sources },
  };
}

/** Whether it is likely that not all of the context fits. */
function isLarge({ provided, retrieved }: Material, room: number): boolean {
  return (provided?.length ?? 0) + (retrieved?.text.length ?? 0) > room;
}

/** What the user part takes apart from the context, its tags included; `room` where it takes more. */
function tokensAround(job: AssembleJob, room: number, tokenizer: Tokenizer): number {
  const user = templateOf(job.template).renderUser(
    viewOf(job.task, job.tier, job.target.maxOutputTokens, LEAST_CONTEXT),
  );
  return (tokenizer.countUpTo(user, room + 1) ?? room + 1) - 1;
}

/** How far a task is beyond the limit, where it does not take long to count. */
function overflowOf(user: string, fixedTokens: number, limit: number, tokenizer: Tokenizer): Assembled {
  const exact = user.length <= COUNTED_UNITS * limit;
  const promptTokens = exact ? fixedTokens + tokenizer.count(user) : Math.max(limit, fixedTokens);
  return { kind: 'overflow', promptTokens, exact, budgetTokens: limit };
}

// Of UTF-16, for each token of the limit: prose has four or five.
const COUNTED_UNITS = 16;

interface System {
  readonly text: string;
  /** The beginning of a request of chat completions that says it. JSON in UTF-8. */
  readonly opening: Uint8Array;
  readonly tokens: number;
}

// The system part is the same for every task of a domain in a tier: rendered, counted and encoded once.
const systems = new Map<string, System>();

function systemOf({ template, task, tier, target }: MeasureJob, tokenizer: Tokenizer): System {
  const key = `${template.sha256} ${task.domain} ${tier} ${target.maxOutputTokens} ${tokenizer.name}`;
  const known = systems.get(key);
  if (known !== undefined) return known;
  const view = { domain: task.domain, tier, max_output_tokens: target.maxOutputTokens };
  const text = templateOf(template).renderSystem(view);
  const opening = utf8.encode(`{"messages":[${messageOf('system', text)}`);
  const system = { text, opening, tokens: tokenizer.count(text) };
  if (systems.size >= SYSTEMS_KEPT) systems.clear();
  systems.set(key, system);
  return system;
}

const SYSTEMS_KEPT = 64;
const utf8 = new TextEncoder();

/** JSON in UTF-8. */
function requestOf(job: AssembleJob, system: System, user: string): Uint8Array {
  return job.target.protocol === 'generate'
    ? utf8.encode(generateRequest(job, system, user))
    : chatRequest(job, system, user);
}

/** A request of OpenAI chat completions. */
function chatRequest({ task, target, repair }: AssembleJob, system: System, user: string): Uint8Array {
  const messages = [messageOf('user', user)];
  if (repair !== undefined)
    messages.push(messageOf('assistant', repair.answer), messageOf('user', complaintOf(repair)));
  const settings = JSON.stringify({
    model: target.model,
    temperature: target.temperature,
    [target.maxTokensField]: target.maxOutputTokens,
    ...(target.stream && { stream: true, stream_options: { include_usage: true } }),
    ...responseFormat(target, task.domain),
  });
  const rest = utf8.encode(`,${messages.join(',')}],${settings.slice(1)}`);
  const body = new Uint8Array(system.opening.length + rest.length);
  body.set(system.opening);
  body.set(rest, system.opening.length);
  return body;
}

function messageOf(role: string, content: string): string {
  return `{"role":"${role}","content":${JSON.stringify(content)}}`;
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
function generateRequest({ task, target, repair }: AssembleJob, system: System, user: string): string {
  const again =
    repair === undefined ? '' : `\n\nYour answer was:\n${repair.answer}\n\n${complaintOf(repair)}`;
  return JSON.stringify({
    model: target.model,
    prompt: user + again,
    system_prompt: system.text,
    temperature: target.temperature,
    max_tokens: target.maxOutputTokens,
    ...(target.stream && { stream: true }),
    metadata: { task_id: task.task_id },
  });
}

function complaintOf({ violations }: RepairRequest): string {
  const list = violations
    .slice(0, 20)
    .map(({ path, message }) => `- ${path === '' ? 'the answer' : path}: ${message}`);
  return `Your answer could not be used:\n${list.join('\n')}\nAnswer again with the whole, corrected JSON object and nothing else.`;
}
