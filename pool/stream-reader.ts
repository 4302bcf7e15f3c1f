import type { Reading, ReadingEnd, ReadJob, ReadProgress, StreamEnd, Usage } from '../contracts/threads.js';
import type { Domain } from '../domains/domain.js';
import { AnswerScanner } from './answer-scanner.js';
import type { TokenCounter, Tokenizer } from './tokenizers/index.js';
import { cutOff, domainOf, fieldChecker, invalid, judge, judgeDead } from './verdict.js';
import { WholeCharacters } from './whole-characters.js';
import { type Delta, openWire, type Wire } from './wire.js';

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
  readonly #exact: boolean;
  readonly #content = new WholeCharacters();
  #newText = '';
  #newReasoning = '';
  #settled = 0;
  #settledReasoning = 0;
  #bytes = 0;
  #text = '';
  #reasoning = '';
  #delta = '';
  #refusal: string | undefined;
  #finishReason: string | undefined;
  #usage: Usage | undefined;
  #model: string | undefined;
  #error: Delta['error'];
  #tooLarge = false;
  #voided = false;

  constructor(job: ReadJob, tokenizer: Tokenizer) {
    this.#job = job;
    this.#domain = domainOf(job.domain);
    this.#scanner = new AnswerScanner(fieldChecker(this.#domain), job.structured);
    this.#tokenizer = tokenizer;
    this.#contentCounter = tokenizer.counter();
    this.#reasoningCounter = tokenizer.counter();
    this.#exact = !tokenizer.approximate;
    this.#wire = openWire(job.protocol, (delta) => this.#take(delta));
    if (job.resume !== undefined) {
      this.#take({ content: job.resume.text, reasoning: job.resume.reasoning });
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
      tokens: this.#settled + this.#settledReasoning,
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
    const early = this.#scanner.dead !== undefined || this.#overLimit() || this.#tooLarge;
    if (!early) this.#read(() => this.#scanner.finish(), '');
    if (!this.#scanner.isAnswering) this.#contentCounter.push(this.#scanner.text);
    const end = this.#judge(ended);
    return {
      end,
      finishReason: this.#finishReason,
      model: this.#model,
      usage: this.#usage,
      counted: {
        content: this.#contentCounter.end(),
        reasoning: this.#reasoningCounter.end(),
        exact: this.#exact,
      },
      voided: this.#voided,
      delta: this.#delta,
    };
  }

  #take(delta: Delta): void {
    if (delta.error !== undefined) this.#error = delta.error;
    if (delta.model !== undefined) this.#model = delta.model;
    if (delta.usage !== undefined) this.#usage = delta.usage;
    if (delta.finishReason !== undefined) this.#finishReason = delta.finishReason;
    if (delta.refusal !== undefined) this.#refusal = (this.#refusal ?? '') + delta.refusal;
    if (delta.reasoning !== undefined) this.#newReasoning += delta.reasoning;
    if (delta.content !== undefined) this.#newText += delta.content;
  }

  /** Counts and reads what the last bytes brought, together: a part of its own for each message costs more. */
  #digest(): void {
    const reasoning = this.#newReasoning;
    if (reasoning !== '') {
      this.#newReasoning = '';
      this.#reasoning += reasoning;
      this.#settledReasoning = this.#reasoningCounter.push(reasoning);
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
      this.#settled = 0;
    }
    this.#delta += shown;
    if (scanner.thoughts !== '') {
      this.#settledReasoning = this.#reasoningCounter.push(scanner.thoughts);
      scanner.thoughts = '';
    }
    if (scanner.isAnswering) this.#settled = this.#contentCounter.push(wasAnswering ? part : scanner.text);
  }

  #overLimit(): boolean {
    return this.#settled + this.#settledReasoning > this.#job.maxOutputTokens;
  }

  #judge(ended: StreamEnd | undefined): ReadingEnd {
    if (this.#error !== undefined) return { kind: 'error', ...this.#error };
    if (this.#wire.fault !== undefined) return { kind: 'error', detail: this.#wire.fault, retryable: true };
    const scanner = this.#scanner;
    if (scanner.dead !== undefined) return { kind: 'judged', verdict: judgeDead(scanner) };
    if (this.#tooLarge) {
      const violation = { path: '', message: `must have at most ${this.#job.maxOutputBytes} bytes` };
      return { kind: 'judged', verdict: { ...invalid('too_large', '', [violation]), early: true } };
    }
    if (this.#overLimit() && !this.#isOver(ended)) {
      return { kind: 'judged', verdict: { ...cutOff(scanner.text), early: true } };
    }
    if (!this.#isOver(ended)) return { kind: 'broken', detail: 'the stream ended before the answer did' };
    const verdict = judge(this.#domain, {
      scanner,
      finishReason: this.#finishReason,
      refusal: this.#refusal,
      structured: this.#job.structured,
    });
    return { kind: 'judged', verdict };
  }

  /** `[DONE]` ends a stream; where a server leaves it out, a finish reason and a clean end do. */
  #isOver(ended: StreamEnd | undefined): boolean {
    return this.#wire.done || (ended === 'clean' && this.#finishReason !== undefined);
  }
}
