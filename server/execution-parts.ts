import type { Config } from '../config/schema.js';
import type { Usage } from '../contracts/threads.js';
import type { Pools } from '../pool/pools.js';
import type { Gateway } from './gateway/gateway.js';
import type { Rag } from './rag.js';
import type { Slots } from './slots.js';
import type { Templates } from './templates.js';

/** What an execution needs of the service. */
export interface ExecutionParts {
  readonly config: Config;
  readonly pools: Pools;
  readonly slots: Slots;
  readonly rag: Rag;
  readonly gateway: Gateway;
  readonly templates: Templates;
  /** Sees prompts and outputs; undefined unless the configuration says that they are logged. */
  readonly onPrompt: ((taskId: string, prompt: Uint8Array) => void) | undefined;
  /** Told of each call whose gateway has counted its tokens, with our own counts of the same. */
  readonly onUsage: (tier: string, said: Usage, counted: Usage) => void;
  /** Told of what the service is to blame for. */
  readonly onFault: (taskId: string, error: Error) => void;
}
