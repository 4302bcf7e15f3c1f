import { MessageChannel, type MessagePort } from 'node:worker_threads';
import {
  isFinished,
  type Reading,
  type ReadJob,
  type ReadMore,
  type ReadProgress,
  type StreamEnd,
  type StreamTold,
} from '../contracts/threads.js';
import type { TierPool } from '../pool/pools.js';
import { ByteQueue } from './byte-queue.js';
import type { GatewayStream, StreamSink } from './gateway/answer-body.js';

/** What a stream is read for; the rest of a `ReadJob` is the stream itself. */
export type ReadTarget = Omit<ReadJob, 'resume' | 'chunk' | 'ended' | 'port'>;

/** Sees an answer grow. */
export interface ReadWatcher {
  /** True when somebody looks at the parts, so that they should not wait for one another. */
  isLive(): boolean;
  firstBytes(): void;
  progress(delta: string, tokens: number): void;
  /** What was shown by `progress` so far is no part of the answer. */
  voided(): void;
  /** Resolves when more may come; undefined when it may come now. */
  ready(): Promise<void> | undefined;
}

/**
 * Brings a stream from the socket to a thread. The event loop only moves bytes: a short answer goes to the
 * thread in one message when it has ended, a long one in parts, one at a time, so that parts grow when the
 * thread is busy. Bytes wait here until the thread has understood them; when the thread dies, another one
 * gets what the first had read and the bytes it had not.
 */
export class StreamReading implements StreamSink {
  readonly result: Promise<Reading>;
  /** Why the connection broke, for the receipt. */
  detail: string | undefined;
  /** `performance.now()` of the last byte. */
  endedAt: number | undefined;
  readonly #pool: TierPool;
  readonly #target: ReadTarget;
  readonly #stream: GatewayStream;
  readonly #watcher: ReadWatcher;
  #resolve!: (reading: Reading) => void;
  #reject!: (error: Error) => void;
  /** Bytes that no thread has got yet, and those that the thread got but has not understood. */
  readonly #waiting = new ByteQueue();
  #sent: Uint8Array[] = [];
  #ended: StreamEnd | undefined;
  #endSent = false;
  #port: MessagePort | undefined;
  #begun = false;
  #open = false;
  #idle = false;
  #over = false;
  #paused = false;
  #awaited: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lingering: NodeJS.Timeout | undefined;
  #text: string[] = [];
  #reasoning: string[] = [];
  #told: StreamTold | undefined;
  #deaths = 0;

  constructor(pool: TierPool, target: ReadTarget, stream: GatewayStream, watcher: ReadWatcher) {
    this.#pool = pool;
    this.#target = target;
    this.#stream = stream;
    this.#watcher = watcher;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  data(chunk: Uint8Array): boolean {
    if (this.#over) return false;
    if (!this.#begun && !isComment(chunk)) {
      this.#begun = true;
      this.#watcher.firstBytes();
    }
    this.#waiting.push(chunk);
    if (this.#open) {
      if (this.#idle) this.#sendMore();
    } else if (this.#watcher.isLive() || this.#waiting.length >= WHOLE_BYTES) this.#openSession();
    else this.#timer ??= setTimeout(() => this.#openSession(), WHOLE_WAIT_MS);
    this.#govern();
    return this.#begun;
  }

  end(ended: StreamEnd, detail?: string): void {
    clearTimeout(this.#lingering);
    if (this.#over || this.#ended !== undefined) return;
    this.endedAt = performance.now();
    this.#ended = ended;
    this.detail = detail;
    clearTimeout(this.#timer);
    if (!this.#open) this.#openSession();
    else if (this.#idle) this.#sendMore();
  }

  #openSession(): void {
    clearTimeout(this.#timer);
    this.#open = true;
    this.#idle = false;
    const chunk = this.#takeWaiting();
    let port: MessagePort | undefined;
    if (this.#ended === undefined) {
      const channel = new MessageChannel();
      this.#port = channel.port1;
      channel.port1.on('message', (progress: ReadProgress) => this.#progressed(progress));
      port = channel.port2;
    }
    this.#endSent = this.#ended !== undefined;
    const job: ReadJob = {
      resume: this.#told && {
        text: this.#text.join(''),
        reasoning: this.#reasoning.join(''),
        told: this.#told,
      },
      chunk,
      ended: this.#ended,
      port,
      // Last, as elsewhere on the way of each task (decision 0020).
      ...this.#target,
    };
    this.#pool.read(job).then(
      (reading) => this.#finished(reading),
      (error: Error) => this.#died(error),
    );
  }

  #sendMore(): void {
    this.#idle = false;
    this.#endSent = this.#ended !== undefined;
    const more: ReadMore = { chunk: this.#takeWaiting(), ended: this.#ended };
    this.#port!.postMessage(more);
  }

  #progressed(progress: ReadProgress): void {
    if (this.#over) return;
    this.#sent = lastOf(this.#sent, progress.unread);
    if (progress.text !== '') this.#text.push(progress.text);
    if (progress.reasoning !== '') this.#reasoning.push(progress.reasoning);
    this.#told = progress.told;
    if (progress.voided) this.#watcher.voided();
    this.#watcher.progress(progress.delta, progress.tokens);
    if (this.#waiting.length > 0 || (this.#ended !== undefined && !this.#endSent)) this.#sendMore();
    else this.#idle = true;
    if (isFinished(progress.told)) this.#expectEnd();
    this.#govern();
  }

  /** Some servers say that an answer is over, and neither more nor that the stream is. */
  #expectEnd(): void {
    if (this.#ended !== undefined) return;
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => {
      this.end('broken', 'the stream went on after the answer was over');
      this.#stream.abort();
    }, FINISH_MS);
  }

  #finished(reading: Reading): void {
    this.#close();
    if (this.#ended === undefined) this.#leave(reading);
    if (reading.voided) this.#watcher.voided();
    if (reading.delta !== '')
      this.#watcher.progress(reading.delta, reading.counted.content + reading.counted.reasoning);
    this.#resolve(reading);
  }

  /** The reader is done before the stream is. After a good end the connection gets a moment to be reusable. */
  #leave({ end }: Reading): void {
    const hopeless = end.kind !== 'judged' || (end.verdict.kind === 'invalid' && end.verdict.early);
    if (hopeless) this.#stream.abort();
    else this.#lingering = setTimeout(() => this.#stream.abort(), LINGER_MS);
  }

  #died(error: Error): void {
    this.#deaths++;
    if (this.#over) return;
    // A whole answer has had its second try already.
    const hadPort = this.#port !== undefined;
    this.#port?.close();
    this.#port = undefined;
    if (this.#deaths > 1 || !hadPort) {
      this.#close();
      this.#stream.abort();
      this.#reject(error);
      return;
    }
    const later = this.#waiting.take();
    for (const chunk of this.#sent) this.#waiting.push(chunk);
    if (later.length > 0) this.#waiting.push(later);
    this.#sent = [];
    this.#openSession();
  }

  #close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lingering);
    this.#port?.close();
    this.#waiting.take();
  }

  /** Moves the waiting bytes to the sent ones. */
  #takeWaiting(): Uint8Array {
    const chunk = this.#waiting.take();
    this.#sent.push(chunk);
    return chunk;
  }

  /** Stops the socket while the thread or every reader of the answer is behind. */
  #govern(): void {
    if (this.#ended !== undefined || this.#over) return;
    const ready = this.#watcher.ready();
    const behind = this.#waiting.length > HIGH_WATER_BYTES || ready !== undefined;
    const wasPaused = this.#paused;
    // First: what the stream still holds comes while it is resumed.
    this.#paused = behind;
    if (behind && !wasPaused) this.#stream.pause();
    if (!behind && wasPaused) this.#stream.resume();
    if (ready !== undefined && ready !== this.#awaited) {
      this.#awaited = ready;
      void ready.then(() => this.#govern());
    }
  }
}

/** Lines that only keep a connection open while the model has not begun, as OpenRouter sends them. */
function isComment(chunk: Uint8Array): boolean {
  if (chunk[0] !== COLON && chunk[0] !== LF && chunk[0] !== CR) return false;
  return !Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).includes('data:');
}

const COLON = 0x3a;
const LF = 0x0a;
const CR = 0x0d;

/** The last bytes of some chunks, which are not joined: a message that never ends would be copied with each part. */
function lastOf(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  let from = chunks.length;
  while (left > 0) left -= chunks[--from]!.length;
  const last = chunks.slice(from);
  if (left < 0) last[0] = last[0]!.subarray(-left);
  return last;
}

// An answer that ends within this time and size takes one trip to the thread.
const WHOLE_BYTES = 65_536;
const WHOLE_WAIT_MS = 20;
const LINGER_MS = 100;
// What usage may take that comes behind the answer.
const FINISH_MS = 5000;
const HIGH_WATER_BYTES = 1_048_576;
