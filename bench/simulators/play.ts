import { chunkOf, type Exchange, lastChunk } from './http.js';
import type { OpenCall } from './stats.js';
import type { Ending, Step } from './steps.js';

/** A chunked answer, ready to be written. */
export interface Score {
  /** Status line and headers. */
  readonly head: string;
  readonly steps: readonly Step[];
  readonly ending: Ending;
  readonly closesConnection: boolean;
}

/** The knobs of time and of byte borders. */
export interface Pace {
  readonly ttftMs: number;
  readonly tokensPerSecond: number;
  readonly jitter: number;
  readonly slowLoris: number;
  readonly splitBytes: number;
  readonly splitRandom: boolean;
}

/** Writes a score at its pace, and stops when the client goes away. */
export function play(
  exchange: Exchange,
  call: OpenCall,
  score: Score,
  pace: Pace,
  random: () => number,
): void {
  const timer = pausable();
  exchange.onClosed(() => {
    timer.stop();
    call.clientClosed();
  });
  const start = performance.now();
  const delays = { pace, random };
  timer.after(jittered(pace.ttftMs, delays), () => {
    if (pace.slowLoris > 0 || pace.splitBytes > 0) playBytes(exchange, call, score, delays, timer);
    else playSteps(exchange, call, score, delays, timer, start + pace.ttftMs);
  });
}

/** @returns milliseconds. */
export function jittered(ms: number, { pace, random }: Delays): number {
  return ms === 0 || pace.jitter === 0 ? ms : ms * (1 + pace.jitter * (2 * random() - 1));
}

interface Delays {
  readonly pace: Pace;
  readonly random: () => number;
}

interface Timer {
  after(ms: number, then: () => void): void;
  stop(): void;
}

function pausable(): Timer {
  let timeout: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  return {
    after(ms, then) {
      if (ms > 0) timeout = setTimeout(then, ms);
      else immediate = setImmediate(then);
    },
    stop() {
      clearTimeout(timeout);
      clearImmediate(immediate);
    },
  };
}

/** Writes whatever is due in one write, so that a fast model does not need a timer per delta. */
function playSteps(
  exchange: Exchange,
  call: OpenCall,
  score: Score,
  delays: Delays,
  timer: Timer,
  start: number,
): void {
  const { steps } = score;
  const { tokensPerSecond } = delays.pace;
  let index = 0;
  let due = start;
  let unsent = score.head;

  const writeDue = () => {
    const now = performance.now();
    while (index < steps.length && (due <= now || tokensPerSecond === 0)) {
      const step = steps[index++]!;
      unsent += chunkOf(step.text);
      if (step.isDelta) call.chunksSent++;
      if (tokensPerSecond > 0) due += jittered((step.tokens / tokensPerSecond) * 1000, delays);
    }
    if (index === steps.length) {
      end(exchange, call, score, unsent);
      return;
    }
    if (unsent !== '') exchange.send(unsent);
    unsent = '';
    timer.after(Math.max(1, due - performance.now()), writeDue);
  };
  writeDue();
}

/** Each piece is a chunk and a write of its own. */
function playBytes(exchange: Exchange, call: OpenCall, score: Score, delays: Delays, timer: Timer): void {
  const { slowLoris, splitBytes, splitRandom } = delays.pace;
  const body = Buffer.from(score.steps.map((step) => step.text).join(''));
  let position = 0;
  exchange.send(score.head);

  const writeNext = () => {
    if (position === body.length) {
      call.chunksSent = score.steps.filter((step) => step.isDelta).length;
      end(exchange, call, score, '');
      return;
    }
    const size = slowLoris > 0 ? 1 : splitRandom ? 1 + Math.floor(delays.random() * splitBytes) : splitBytes;
    const piece = body.subarray(position, position + size);
    position += piece.length;
    exchange.send(
      Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
    );
    timer.after(slowLoris, writeNext);
  };
  timer.after(slowLoris, writeNext);
}

function end(exchange: Exchange, call: OpenCall, { ending, closesConnection }: Score, unsent: string): void {
  exchange.send(unsent + tails[ending]);
  if (ending === 'stall') return;
  if (ending === 'complete') call.completed();
  else call.failed();
  if (ending === 'rst') exchange.reset();
  else if (ending === 'fin' || ending === 'broken_chunk') exchange.end();
  else exchange.done({ close: closesConnection });
}

const tails: Readonly<Record<Ending, string>> = {
  complete: lastChunk,
  error: lastChunk,
  clean_end: lastChunk,
  broken_chunk: 'no-size\r\nthis is not a chunk\r\n',
  fin: '',
  rst: '',
  stall: '',
};
