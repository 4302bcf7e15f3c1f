import type { HeldTime } from '../contracts/cluster.js';

/** What is known when `later` tasks came after `earlier` ones: the mean of the last ones, up to MEAN_OF. */
export function followedBy(earlier: HeldTime | undefined, later: HeldTime): HeldTime {
  const tasks = Math.min(later.tasks, MEAN_OF);
  const before = Math.min(earlier?.tasks ?? 0, MEAN_OF - tasks);
  const sumMs = (earlier?.meanMs ?? 0) * before + later.meanMs * tasks;
  return { meanMs: sumMs / (before + tasks), tasks: before + tasks };
}

const MEAN_OF = 16;
