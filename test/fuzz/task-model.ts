import { hash } from 'node:crypto';
import type { FailureCode } from '../../contracts/failures.js';
import { parseTask } from '../../contracts/parse-task.js';
import { terminalEventId } from '../../server/events/outcome-event.js';
import type { SeenEvent } from '../events/at-broker.js';
import type { GatewayStats } from '../service/at-service.js';

/** One of the bodies under a task_id. */
export interface Body {
  readonly task: { readonly task_id: string } & Readonly<Record<string, unknown>>;
  readonly hash: string;
}

/** When something was asked: what was certain then is certain for the answer. */
export interface Moment {
  readonly wasFinal: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: the service's answers have every shape
type Json = any;

/** An end of a task as somebody was told of it. */
interface Told {
  /** Differs for each execution. */
  readonly key: string;
  /** `completed`, or the code of the failure. */
  readonly what: string;
  /** `Date.now()` */
  readonly at: number;
}

/**
 * What may be, after all that was asked and answered under one task_id. Each answer is held against those before it;
 * what cannot be is a fault.
 */
export class TaskModel {
  readonly taskId: string;
  readonly bodies: readonly Body[];
  readonly faults: string[] = [];
  /** What was done and answered, for whoever looks for the cause of a fault. */
  readonly journal: string[] = [];
  /** Bodies that the service has, or may have. */
  readonly sent = new Set<Body>();
  /** Whether a failure that may be tried again may have become final: in the broker attempts are counted. */
  queued = false;
  /** Whether the broker has, or has had, a task that must have come to an end. */
  taken = false;
  /** Whether a sender did not want it for ever. */
  impatient = false;
  cancelled = false;
  #final: Told | undefined;
  /** Milliseconds since the epoch, as the terminal event says. */
  #finishedAt: number | undefined;
  /** Bodies that were told that another one is the task. */
  readonly #refused = new Set<Body>();
  /** Bodies that were told the end of the task. */
  readonly #answered = new Set<Body>();
  /** The body that was taken with 202 before another one was sent. */
  #first: Body | undefined;
  /** When those who cancelled the task knew that it is being cancelled. */
  readonly #cancellings: number[] = [];

  constructor(taskId: string, bodies: readonly Body['task'][]) {
    this.taskId = taskId;
    this.bodies = bodies.map((task) => ({ task, hash: hashOf(task) }));
  }

  get isFinal(): boolean {
    return this.#final !== undefined;
  }

  /** Whether its terminal event was seen. */
  get hasEvent(): boolean {
    return this.#finishedAt !== undefined;
  }

  now(what: string): Moment {
    this.#note(what);
    return { wasFinal: this.isFinal };
  }

  /** An answer to `POST /execute`, or the last event of its stream. */
  executed(body: Body, sent: Moment, status: number, answer: Json): void {
    this.#note(`execute ${this.bodies.indexOf(body)} answered ${status}`, answer);
    if (status === 202) {
      if (sent.wasFinal) this.#fault('a task that has ended was queued', answer);
      this.taken = true;
      if (this.sent.size === 1) this.#first ??= body;
    } else if (answer.code === 'task_conflict') {
      if (this.sent.size < 2) this.#fault('a conflict without another body', answer);
      this.#refused.add(body);
    } else if (isFinal(answer)) {
      this.#answered.add(body);
      this.#tell('an answer', answer);
    } else if (!passing.has(answer.code)) this.#fault('an answer that nobody expects', answer);
    else if (sent.wasFinal && answer.code !== 'shutting_down')
      this.#fault('after the end, an end that does not stand', answer);
  }

  /** What a stream has brought of the output, after its last reset. */
  shown(text: string, { output }: Json): void {
    if (text !== output.content) this.#fault('the stream has brought another output', [text, output.content]);
  }

  status(sent: Moment, status: number, answer: Json): void {
    const { outcome } = answer;
    if (outcome !== undefined && isFinal(outcome)) this.#tell('the status', outcome);
    else if (sent.wasFinal) this.#fault(`the status went back to ${status} ${answer.status}`, answer);
  }

  receipt(sent: Moment, status: number, answer: Json): void {
    if (!sent.wasFinal) return;
    const { outcome, request_hash } = answer;
    const owner = this.bodies.find(({ hash }) => hash === request_hash);
    if (status !== 200) this.#fault('there is no receipt', answer);
    else if ((outcome.code ?? outcome.status) !== this.#final!.what)
      this.#fault('the receipt tells of another end', outcome);
    else if (owner === undefined || !this.sent.has(owner))
      this.#fault('a body that nobody sent was executed', answer);
    else this.#belongsTo(owner);
  }

  #belongsTo(owner: Body): void {
    for (const body of this.#answered)
      if (body !== owner) this.#fault('the end of one body was told to another', body.task);
    if (this.#refused.has(owner)) this.#fault('the body of the task was refused', owner.task);
    if (this.#first !== undefined && this.#first !== owner)
      this.#fault('a task that was taken gave way to one that came later', owner.task);
  }

  artifact(sent: Moment, status: number, answer: Json): void {
    if (status === 200 && answer.task_id !== this.taskId) this.#fault('an artifact of another task', answer);
    if (status !== 200 && sent.wasFinal && this.#final!.what === 'completed')
      this.#fault('there is no artifact', answer);
  }

  /** An answer to `DELETE`. */
  deleted(sent: Moment, status: number, answer: Json): void {
    this.#note(`delete answered ${status}`, answer);
    if (status === 202) {
      if (sent.wasFinal) this.#fault('a task that has ended is being cancelled', answer);
      this.#cancellings.push(Date.now());
    } else if (answer.code !== 'task_conflict' && (answer.code !== 'not_found' || sent.wasFinal))
      this.#fault('a cancellation that was not answered', answer);
  }

  event({ event, message }: SeenEvent): void {
    const { data, id, type, time } = event;
    this.#note('event', data);
    if (id !== terminalEventId(this.taskId) || message.properties.messageId !== id)
      this.#fault('a terminal event of another id', event);
    if (type !== `dats.task.${data.status === 'completed' ? 'output.created' : 'failed'}`)
      this.#fault('an event of another type', event);
    this.#finishedAt = Date.parse(time);
    if (isFinal(data)) this.#tell('an event', data);
    else this.#fault('an event of an end that does not stand', data);
  }

  /** A message that was given up. */
  deadLetter(reason: string, content: Json): void {
    this.#note(`dead letter ${reason}`);
    const { description } = content.data ?? content;
    const body = this.bodies.find(({ task }) => task.description === description)!;
    if (reason !== 'task_conflict') {
      if (this.#final?.what !== reason) this.#fault(`a dead letter of another end: ${reason}`, this.#final);
    } else if (this.sent.size < 2) this.#fault('a dead letter of a conflict without another body', content);
    else this.#refused.add(body);
  }

  /** Calls of the model for this task, in their order. */
  calls(calls: GatewayStats['lastCalls']): void {
    for (const [index, call] of calls.entries()) {
      const before = calls[index - 1];
      if (before !== undefined && call.at < (before.ended?.at ?? Number.MAX_VALUE) - lateness(before))
        this.#fault('two calls of the model at once', [before, call]);
      if (call.at > this.#finishedAt! + (call.ended?.how === 'clientClosed' ? lateness(call) : 0))
        this.#fault(`a call of the model after the end at ${this.#finishedAt}`, call);
    }
  }

  /** What can only be said once its terminal event was seen. */
  close(): void {
    const { what } = this.#final!;
    const isMeant = ends[what]?.(this) ?? false;
    if (!isMeant) this.#fault('an end for which there is no reason', this.#final);
    if (what === 'cancelled') return;
    for (const at of this.#cancellings)
      if (at < this.#finishedAt!)
        this.#fault(`cancelled ${this.#finishedAt! - at} ms before another end`, this.#final);
  }

  #tell(by: string, outcome: Json): void {
    const what = outcome.status === 'completed' ? 'completed' : outcome.code;
    const told = { key: keyOf(outcome), what, at: Date.now() };
    this.#final ??= told;
    if (told.key !== this.#final.key)
      this.#fault(`${by} tells of another end than ${this.#final.key}`, told.key);
  }

  #fault(what: string, seen: unknown): void {
    this.#note(`FAULT ${what}`);
    this.faults.push(`${this.taskId}: ${what}: ${JSON.stringify(seen)?.slice(0, 600)}`);
  }

  #note(what: string, seen?: Json): void {
    const { code = '', status = '', retryable = '', execution_time_ms = '' } = seen ?? {};
    this.journal.push([Date.now() % 1_000_000, what, status, code, retryable, execution_time_ms].join(' '));
  }
}

/** What may be told of an execution whose end does not stand. */
const passing: ReadonlySet<FailureCode> = new Set([
  'cancelled',
  'deadline_exceeded',
  'gateway_error',
  'gateway_unavailable',
  'shutting_down',
  'tier_saturated',
]);

/** The ends of a task, and when there is a reason for each. */
const ends: Readonly<Record<string, (model: TaskModel) => boolean>> = {
  completed: () => true,
  output_invalid: () => true,
  refused: () => true,
  cancelled: ({ cancelled }) => cancelled,
  gateway_error: ({ queued }) => queued,
  gateway_unavailable: ({ queued }) => queued,
  deadline_exceeded: ({ impatient }) => impatient,
};

/** By how many milliseconds the gateway may learn of the end of a call later than the service. */
function lateness({ ended }: GatewayStats['lastCalls'][number]): number {
  return ended?.how === 'completed' ? 100 : 1000;
}

function isFinal({ status, retryable, code }: Json): boolean {
  return status === 'completed' || (code !== undefined && retryable === false);
}

/** Two executions of a task take different times. */
function keyOf({ status, artifact_id, output, code, detail, execution_time_ms }: Json): string {
  return status === 'completed'
    ? JSON.stringify([artifact_id, output, execution_time_ms])
    : JSON.stringify([code, detail, execution_time_ms]);
}

/** Known before there is one. */
export function artifactIdOf(taskId: string): string {
  return `art-${hash('sha256', taskId).slice(0, 32)}`;
}

function hashOf(task: object): string {
  const parsed = parseTask(Buffer.from(JSON.stringify(task)));
  if (parsed.kind !== 'task') throw new Error('a body that is no task');
  return parsed.requestHash;
}
