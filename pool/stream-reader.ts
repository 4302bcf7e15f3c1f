import {
  isFinished,
  type Reading,
  type ReadingEnd,
  type ReadJob,
  type ReadProgress,
  type StreamEnd,
  type StreamTold,
  type Usage,
  type Verdict,
} from '../contracts/threads.js';
import type { Domain } from '../domains/domain.js';
import { AnswerScanner } from './answer-scanner.js';
import type { TokenCounter, Tokenizer } from './tokenizers/index.js';
import { cutOff, domainOf, fieldChecker, invalid, judge, judgeDead } from './verdict.js';
import { WholeCharacters } from './whole-characters.js';
import { openWire } from './wire/open-wire.js';
import type { Delta, Wire } from './wire/wire.js';

type Told = { -readonly [Name in keyof StreamTold]: StreamTold[Name] };

/**
 * Reads one stream of the gateway from its bytes to the verdict on the output: counts tokens as they arrive,
 * checks the answer while it grows, and says when going on is useless.
 */
export class StreamReader {
  readonly #job: ReadJob;
  readonly #domain: Domain;
  readonly #scanner: AnswerScanner;
  readonly #wire: Wire;
  readonly #tokenizer: Tokenizer;
  #contentCounter: TokenCounter;
  readonly #reasoningCounter: TokenCounter;
  /** Of thoughts in the content. */
  readonly #thoughtCounter: TokenCounter;
  readonly #content = new WholeCharacters();
  #newText = '';
  #newReasoning = '';
  #bytes = 0;
  #asideBytes = 0;
  #refusalTokens: number | undefined;
  #text = '';
  #reasoning = '';
  #delta = '';
  readonly #told: Told = {
    model: undefined,
    usage: undefined,
    refusal: undefined,
    finishReason: undefined,
    finishIsVain: false,
  };
  #error: Delta['error'];
  #tooLarge = false;
  #voided = false;
  /** The reasoning, as long as it may be the answer, which some servers put there. */
  #misplaced: AnswerScanner | undefined = new AnswerScanner(() => [], false);

  constructor(job: ReadJob, tokenizer: Tokenizer) {
    this.#job = job;
    this.#domain = domainOf(job.domain);
    this.#scanner = new AnswerScanner(fieldChecker(this.#domain), job.structured);
    this.#tokenizer = tokenizer;
    this.#contentCounter = tokenizer.counter();
    this.#reasoningCounter = tokenizer.counter();
    this.#thoughtCounter = tokenizer.counter();
    this.#wire = openWire(
      job.protocol,
      job.maxOutputBytes,
      (delta) => this.#take(delta),
      (job.resume?.text ?? '') !== '',
    );
    if (job.resume !== undefined) {
      this.#take({ content: job.resume.text, reasoning: job.resume.reasoning });
      Object.assign(this.#told, job.resume.told);
      this.#digest();
      this.progress();
    }
  }

  /** Takes the next bytes. Returns true when the stream has told all it can: ended, failed or hopeless. */
  push(chunk: Uint8Array): boolean {
    this.#wire.push(chunk);
    this.#digest();
    return (
      this.#wire.done ||
      this.#wire.fault !== undefined ||
      this.#error !== undefined ||
      this.#scanner.dead !== undefined ||
      this.#overLimit() ||
      this.#tooLarge
    );
  }

  /** What arrived since the last call. */
  progress(): ReadProgress {
    const progress = {
      unread: this.#wire.unread,
      text: this.#text,
      reasoning: this.#reasoning,
      voided: this.#voided,
      delta: this.#delta,
      tokens: this.#settledTokens(),
      told: this.#told,
    };
    this.#text = '';
    this.#reasoning = '';
    this.#voided = false;
    this.#delta = '';
    return progress;
  }

  /** Ends the reading and judges it. `undefined`: the reader itself wants no more. */
  finish(ended: StreamEnd | undefined): Reading {
    if (ended === 'clean') this.#wire.end();
    this.#digest();
    this.#accept(this.#content.end());
    const isCut = this.#overLimit() && !this.#isOver(ended);
    const early = this.#scanner.dead !== undefined || isCut || this.#tooLarge;
    if (!early) this.#read(() => this.#scanner.finish(), '');
    if (!this.#scanner.isAnswering) this.#contentCounter.push(this.#scanner.text);
    const end = this.#judge(ended);
    return {
      end,
      finishReason: this.#told.finishReason,
      model: this.#told.model,
      usage: this.#crediblyUsed(),
      counted: {
        content: this.#countedContent(),
        reasoning: this.#countedReasoning(),
      },
      voided: this.#voided,
      delta: this.#delta,
    };
  }

  #take(delta: Delta): void {
    if (delta.error !== undefined) this.#error = delta.error;
    const told = this.#told;
    const goesOn = delta.content !== undefined || delta.reasoning !== undefined;
    if (goesOn && told.finishReason !== undefined) told.finishIsVain = true;
    told.model = delta.model ?? told.model;
    told.usage = delta.usage ?? told.usage;
    told.finishReason = delta.finishReason ?? told.finishReason;
    if (delta.refusal !== undefined && this.#bears(delta.refusal))
      told.refusal = (told.refusal ?? '') + delta.refusal;
    if (delta.reasoning !== undefined && this.#bears(delta.reasoning)) {
      this.#newReasoning += delta.reasoning;
      this.#misplaced?.push(delta.reasoning);
      if (this.#misplaced?.mode === 'text') this.#misplaced = undefined;
    }
    if (delta.content !== undefined) this.#newText += delta.content;
  }

  /** What a model says beside its output is held in memory as well, and has the same bound. */
  #bears(aside: string): boolean {
    this.#asideBytes += Buffer.byteLength(aside);
    this.#tooLarge ||= this.#asideBytes > this.#job.maxOutputBytes;
    return !this.#tooLarge;
  }

  /** Counts and reads what the last bytes brought, together: a part of its own for each message costs more. */
  #digest(): void {
    const reasoning = this.#newReasoning;
    if (reasoning !== '') {
      this.#newReasoning = '';
      this.#reasoning += reasoning;
      this.#reasoningCounter.push(reasoning);
    }
    const text = this.#newText;
    if (text === '') return;
    this.#newText = '';
    this.#text += text;
    this.#accept(this.#content.push(text));
  }

  #accept(text: string): void {
    if (text === '') return;
    this.#bytes += Buffer.byteLength(text);
    this.#tooLarge ||= this.#bytes > this.#job.maxOutputBytes;
    this.#read(() => (this.#tooLarge ? '' : this.#scanner.push(text)), text);
  }

  /** Lets the scanner go on by a part, and counts it as what it is: answer or thoughts. */
  #read(scan: () => string, part: string): void {
    const scanner = this.#scanner;
    let wasAnswering = scanner.isAnswering;
    const shown = scan();
    if (scanner.voided) {
      scanner.voided = false;
      wasAnswering = false;
      this.#voided = true;
      this.#delta = '';
      this.#contentCounter = this.#tokenizer.counter();
    }
    this.#delta += shown;
    if (scanner.thoughts !== '') {
      this.#thoughtCounter.push(scanner.thoughts);
      scanner.thoughts = '';
    }
    if (scanner.isAnswering) this.#contentCounter.push(wasAnswering ? part : scanner.text);
  }

  #overLimit(): boolean {
    const least = this.#contentCounter.least + this.#reasoningCounter.least + this.#thoughtCounter.least;
    return least > this.#job.maxOutputTokens;
  }

  #settledTokens(): number {
    return this.#contentCounter.settled + this.#reasoningCounter.settled + this.#thoughtCounter.settled;
  }

  #judge(ended: StreamEnd | undefined): ReadingEnd {
    if (this.#error !== undefined) {
      // Later on it is a stream that broke.
      const busy = this.#error.busy === true && this.#settledTokens() === 0 && this.#scanner.text === '';
      return { kind: 'error', ...this.#error, busy };
    }
    if (this.#wire.fault !== undefined && !this.#isFinished())
      return { kind: 'error', detail: this.#wire.fault, retryable: true };
    const scanner = this.#scanner;
    if (scanner.dead !== undefined) return { kind: 'judged', verdict: judgeDead(scanner) };
    if (this.#tooLarge) {
      const violation = { path: '', message: `must have at most ${this.#job.maxOutputBytes} bytes` };
      return { kind: 'judged', verdict: { ...invalid('too_large', '', [violation]), early: true } };
    }
    // Also when it has ended: whether more had come before anybody looked must not decide.
    if (this.#overLimit())
      return { kind: 'judged', verdict: { ...cutOff(scanner.text), early: !this.#isOver(ended) } };
    if (!this.#isOver(ended)) return { kind: 'broken', detail: 'the stream ended before the answer did' };
    const verdict = this.#judgeAnswer(scanner);
    const misplaced = this.#misplaced;
    if (verdict.kind !== 'invalid' || verdict.fault !== 'empty' || misplaced?.mode !== 'json')
      return { kind: 'judged', verdict };
    const other = this.#judgeAnswer(misplaced);
    return { kind: 'judged', verdict: other.kind === 'invalid' ? verdict : other };
  }

  #judgeAnswer(scanner: AnswerScanner): Verdict {
    return judge(this.#domain, {
      scanner,
      finishReason: this.#told.finishReason,
      refusal: this.#told.refusal,
      structured: this.#job.structured,
    });
  }

  #countedContent(): number {
    this.#refusalTokens ??= this.#tokenizer.count(this.#told.refusal ?? '');
    return this.#contentCounter.end() + this.#refusalTokens;
  }

  #countedReasoning(): number {
    return this.#reasoningCounter.end() + this.#thoughtCounter.end();
  }

  /** Some servers say 0 where they do not count. */
  #crediblyUsed(): Usage | undefined {
    const { usage } = this.#told;
    const said = this.#countedContent() + this.#countedReasoning();
    return usage === undefined || usage.prompt === 0 || (usage.completion === 0 && said > 0)
      ? undefined
      : usage;
  }

  /**
   * `[DONE]` ends a stream. Where a server leaves it out, a finish reason does, which comes behind all content; and where
   * there is none either, a JSON object that is complete, in a body that has come to its end.
   */
  #isOver(ended: StreamEnd | undefined): boolean {
    if (this.#wire.done || this.#isFinished()) return true;
    return ended === 'clean' && (this.#told.finishReason !== undefined || this.#scanner.end >= 0);
  }

  #isFinished(): boolean {
    return isFinished(this.#told);
  }
}
