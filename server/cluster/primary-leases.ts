import type { ClaimAnswer, TaskClaim } from '../../contracts/cluster.js';
import type { Claim, Leases } from '../leases.js';
import type { Link } from './link.js';
import { onceATurn } from './once-a-turn.js';

/**
 * The leases of workers on one node: the primary knows who executes what. What is asked in one turn of the event loop
 * travels together. When a worker dies, the primary frees what it held.
 */
export class PrimaryLeases implements Leases {
  onCancelRequested: ((taskId: string) => void) | undefined;
  readonly #link: Link;
  readonly #calls = new Map<number, (answer: ClaimAnswer['answer']) => void>();
  #claims: TaskClaim[] = [];
  #releases: string[] = [];
  #calledLast = 0;
  readonly #flushLater = onceATurn(() => this.#flush());

  constructor(link: Link) {
    this.#link = link;
    link.on((message) => {
      if (message.kind === 'cancel') this.onCancelRequested?.(message.taskId);
      if (message.kind !== 'answers') return;
      for (const { call, answer } of message.answers) {
        this.#calls.get(call)?.(answer);
        this.#calls.delete(call);
      }
    });
  }

  claim(taskId: string, requestHash: string): Promise<Claim> {
    return this.#call((call) => {
      this.#claims.push({ call, taskId, requestHash });
      this.#flushLater();
    }) as Promise<Claim>;
  }

  async release(taskId: string): Promise<void> {
    this.#releases.push(taskId);
    this.#flushLater();
  }

  async isHeld(taskId: string, otherThan = ''): Promise<boolean> {
    const answer = await this.#call((call) => this.#link.send({ kind: 'ask', call, taskId, otherThan }));
    return answer === 'held';
  }

  async requestCancel(taskId: string): Promise<void> {
    this.#link.send({ kind: 'cancel', taskId });
  }

  async close(): Promise<void> {
    this.#flush();
  }

  #call(how: (call: number) => void): Promise<ClaimAnswer['answer']> {
    this.#calledLast++;
    const call = this.#calledLast;
    return new Promise((resolve) => {
      this.#calls.set(call, resolve);
      how(call);
    });
  }

  #flush(): void {
    // In this order: a task that is released and claimed in one turn is held afterwards.
    if (this.#releases.length > 0) this.#link.send({ kind: 'release', taskIds: this.#releases });
    if (this.#claims.length > 0) this.#link.send({ kind: 'claim', claims: this.#claims });
    this.#releases = [];
    this.#claims = [];
  }
}
