import type { GatewayError } from '../../contracts/gateway-errors.js';
import type { Usage } from '../../contracts/threads.js';

/** What one message of the gateway says. */
export interface Delta {
  content?: string;
  reasoning?: string;
  refusal?: string;
  finishReason?: string;
  usage?: Usage;
  model?: string;
  error?: StreamError;
}

/** What went wrong, as the gateway says. */
export interface StreamError {
  readonly detail: string;
  readonly retryable: boolean;
  /** The model is busy or away. */
  readonly busy?: boolean;
  readonly about?: GatewayError['about'];
}

/** Reads the body of an answer as it comes, and hands on what its messages say. */
export interface Wire {
  /** Takes bytes of the body, cut anywhere. */
  push(chunk: Uint8Array): void;
  /** The body has come to its end. */
  end(): void;
  /** True once the stream has said itself that it is over (`[DONE]`, or a whole document). */
  readonly done: boolean;
  /** How many of the bytes pushed so far belong to a message that is not complete. */
  readonly unread: number;
  /** Why the body cannot be understood. */
  readonly fault: string | undefined;
}

/** One message of the gateway, in JSON. */
export type Message = Record<string, unknown>;
/** What a message says, in the words of its protocol. */
export type Read = (message: Message) => Delta;
