import type { Caller, TaskEvent } from '../caller.js';
import type { Following, Peers } from '../peers.js';
import type { Link } from './link.js';
import { onceATurn } from './once-a-turn.js';

/** The workers of a node, reached through the primary. */
export class NodePeers implements Peers {
  onFollow: Peers['onFollow'];
  readonly #link: Link;
  readonly #followed = new Map<number, FollowedTask>();
  readonly #followers = new Map<number, Follower>();
  #last = 0;

  constructor(link: Link) {
    this.#link = link;
    link.on((message) => {
      if (message.kind === 'shown') this.#followed.get(message.call)?.shows(message.shown);
      if (message.kind === 'follow') {
        const follower = this.#followers.get(message.call) ?? this.#join(message.call, message.taskId);
        if (message.watch) follower.watch();
      }
      if (message.kind === 'unfollow') this.#dropFollower(message.call);
    });
  }

  follow(taskId: string, show: (events: readonly TaskEvent[]) => void): Following {
    this.#last++;
    const call = this.#last;
    const followed = new FollowedTask(show, {
      follow: (watch) => this.#link.send({ kind: 'follow', call, taskId, watch }),
      unfollow: () => {
        this.#followed.delete(call);
        this.#link.send({ kind: 'unfollow', call });
      },
    });
    this.#followed.set(call, followed);
    return followed;
  }

  #join(call: number, taskId: string): Follower {
    const follower = new Follower((shown) => this.#link.send({ kind: 'shown', call, shown }));
    this.#followers.set(call, follower);
    void this.onFollow?.(taskId).then((caller) => {
      if (caller === undefined) {
        this.#followers.delete(call);
        this.#link.send({ kind: 'shown', call, shown: 'absent' });
      } else follower.joined(caller, () => this.#followers.delete(call));
    });
    return follower;
  }

  #dropFollower(call: number): void {
    this.#followers.get(call)?.leave();
    this.#followers.delete(call);
  }
}

/** What is executed in another worker. */
class FollowedTask implements Following {
  readonly over: Promise<void>;
  readonly #show: (events: readonly TaskEvent[]) => void;
  readonly #ask: { follow(watch: boolean): void; unfollow(): void };
  #resolveOver!: () => void;
  #isJoined = false;
  /** From when on it is over, in ms of `performance.now()`. */
  #overAt = Number.POSITIVE_INFINITY;
  #isWatched = false;

  constructor(
    show: (events: readonly TaskEvent[]) => void,
    ask: { follow(watch: boolean): void; unfollow(): void },
  ) {
    this.#show = show;
    this.#ask = ask;
    this.over = new Promise((resolve) => {
      this.#resolveOver = resolve;
    });
    ask.follow(false);
  }

  get isOver(): boolean {
    return performance.now() >= this.#overAt;
  }

  shows(shown: 'ended' | { readonly events: readonly object[] }): void {
    if (shown !== 'ended') {
      this.#isJoined = true;
      this.#overAt = Number.POSITIVE_INFINITY;
      this.#show(shown.events as readonly TaskEvent[]);
    } else if (this.#isJoined) {
      this.#overAt = performance.now();
      this.#resolveOver();
    } else this.#overAt = performance.now() + ASK_AGAIN_MS;
  }

  watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#ask.follow(true);
  }

  async shown(): Promise<void> {
    if (this.#isJoined) await this.over;
  }

  leave(): void {
    this.#ask.unfollow();
  }
}

/** Nobody on the node executed the task: one that was ending, or one of another node, may be followed by one here. */
const ASK_AGAIN_MS = 1000;

/** Somebody in another worker who joins a task that is executed here. */
class Follower {
  readonly #show: (shown: 'ended' | { readonly events: readonly TaskEvent[] }) => void;
  #caller: Caller | undefined;
  #watches = false;
  #hasLeft = false;
  #next = 0;
  /** What comes in one turn of the event loop travels together. */
  readonly #flushLater = onceATurn(() => this.#flush());

  constructor(show: (shown: 'ended' | { readonly events: readonly TaskEvent[] }) => void) {
    this.#show = show;
  }

  joined(caller: Caller, over: () => void): void {
    this.#caller = caller;
    if (this.#hasLeft) {
      caller.leave();
      return;
    }
    this.#show({ events: [] });
    if (this.#watches) this.#begin();
    const end = () => {
      if (this.#hasLeft) return;
      this.#flush();
      this.#show('ended');
      over();
    };
    caller.ended.then(end, end);
  }

  watch(): void {
    this.#watches = true;
    if (this.#caller !== undefined) this.#begin();
  }

  leave(): void {
    this.#hasLeft = true;
    this.#caller?.leave();
  }

  #begin(): void {
    this.#caller!.onEvents = this.#flushLater;
    this.#flush();
  }

  #flush(): void {
    if (!this.#watches || this.#hasLeft) return;
    const events = this.#caller!.events.slice(this.#next);
    this.#next += events.length;
    if (events.length > 0) this.#show({ events });
  }
}
