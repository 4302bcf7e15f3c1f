import { workerData } from 'node:worker_threads';
import { loadBundle } from './load-bundle.js';
import type * as Thread from './thread.js';

/** What each thread runs: the bundle of `thread.ts`, under the names that jobs go by. */
const thread = loadBundle((workerData as Thread.ThreadData).bundle).exports as typeof Thread;

export const { batch, parse, parseAnswer, parseMessage, read, warm } = thread;
