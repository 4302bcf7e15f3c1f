import type { Dispatcher } from 'undici';
import type { StreamEnd } from '../../contracts/threads.js';
import { brokenOff } from './call-start.js';
import { type Coding, decoderOf } from './decoding.js';

/** An answer that has begun. */
export interface GatewayStream {
  pause(): void;
  resume(): void;
  /** Closes the connection, so that the gateway stops generating. */
  abort(): void;
}

/** Takes the bytes of an answer; `end` is called once, at last. */
export interface StreamSink {
  /** Whether the answer itself has begun, and not only what keeps a connection open. */
  data(chunk: Uint8Array): boolean;
  end(ended: StreamEnd, detail?: string): void;
}

export interface StreamLimits {
  /** Largest answer, on the wire and decoded. */
  readonly bytes: number;
  /** Longest silence once the answer has begun, in milliseconds; that may take as long as the deadline allows. */
  readonly idleMs: number;
}

/** The body of an answer on its way from the connection to its sink: decoded, and within its limits. */
export class AnswerBody implements GatewayStream {
  readonly #controller: Dispatcher.DispatchController;
  readonly #limits: StreamLimits;
  readonly #onEnd: () => void;
  readonly #decoder: ReturnType<typeof decoderOf>;
  #sink: StreamSink | undefined;
  #wireBytes = 0;
  #bytes = 0;
  #hasBegun = false;
  #isPaused = false;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(
    controller: Dispatcher.DispatchController,
    coding: Coding | undefined,
    limits: StreamLimits,
    onEnd: () => void,
  ) {
    this.#controller = controller;
    this.#limits = limits;
    this.#onEnd = onEnd;
    this.#decoder = decoderOf(coding)
      ?.on('data', (chunk: Uint8Array) => this.#take(chunk))
      .on('drain', () => this.#govern())
      .on('end', () => this.end('clean'))
      .on('error', (error) => this.#breakOff(brokenOff(error), error));
  }

  /** Sends what comes to this one from now on. */
  openTo(sink: StreamSink): void {
    this.#sink = sink;
  }

  /** Takes the next bytes from the wire. */
  write(chunk: Uint8Array): void {
    if (this.#sink === undefined) return;
    this.#wireBytes += chunk.length;
    if (this.#wireBytes > this.#limits.bytes) this.#tooLarge();
    else if (this.#decoder === undefined) this.#take(chunk);
    // What decodes to nothing would pile up before it.
    else if (!this.#decoder.write(chunk)) this.#govern();
  }

  /** There is no more on the wire. */
  finish(): void {
    if (this.#decoder === undefined) this.end('clean');
    else this.#decoder.end();
  }

  end(ended: StreamEnd, detail?: string): void {
    this.#onEnd();
    clearTimeout(this.#idleTimer);
    const sink = this.#sink;
    this.#sink = undefined;
    this.#decoder?.destroy();
    sink?.end(ended, detail);
  }

  pause(): void {
    this.#isPaused = true;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    this.#decoder?.pause();
    this.#govern();
  }

  resume(): void {
    this.#isPaused = false;
    this.#expectMore();
    this.#decoder?.resume();
    this.#govern();
  }

  abort(): void {
    this.#controller.abort(new Error('no longer wanted'));
    this.#decoder?.destroy();
  }

  #govern(): void {
    if (this.#isPaused || this.#decoder?.writableNeedDrain) this.#controller.pause();
    else this.#controller.resume();
  }

  #take(chunk: Uint8Array): void {
    if (this.#sink === undefined) return;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limits.bytes) {
      this.#tooLarge();
      return;
    }
    this.#hasBegun = this.#sink.data(chunk);
    if (this.#idleTimer === undefined) this.#expectMore();
    else this.#idleTimer.refresh();
  }

  #expectMore(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    if (this.#sink === undefined || !this.#hasBegun || this.#isPaused) return;
    const detail = 'the stream of the gateway fell silent';
    this.#idleTimer = setTimeout(() => this.#breakOff(detail, new Error(detail)), this.#limits.idleMs);
  }

  #tooLarge(): void {
    const detail = `the answer is larger than ${this.#limits.bytes} bytes`;
    this.#breakOff(detail, new Error(detail));
  }

  #breakOff(detail: string, error: Error): void {
    // First: a body that has come whole, and is being decoded, is not ended by the abort.
    this.end('broken', detail);
    this.#controller.abort(error);
  }
}
