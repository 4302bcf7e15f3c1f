import type { Log } from './log.js';

export interface Part {
  close(): void | Promise<void>;
}

/** What has been opened on the way to a service, to be closed in the opposite order. */
export class OpenedParts {
  readonly #opened: Part[] = [];
  readonly #log: Pick<Log, 'error'>;

  constructor(log: Pick<Log, 'error'>) {
    this.#log = log;
  }

  keep<T extends Part>(part: T): T {
    this.#opened.push(part);
    return part;
  }

  /**
   * Closes each part, the last one first. One that cannot be closed keeps no other open (`part_not_closed`).
   * @throws the first error, when all have been tried.
   */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let part = this.#opened.pop(); part !== undefined; part = this.#opened.pop()) {
      try {
        await part.close();
      } catch (error) {
        errors.push(error);
        this.#log.error({ event: 'part_not_closed', error: (error as Error).message });
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
