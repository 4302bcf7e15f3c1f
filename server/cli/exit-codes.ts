/** What the command line ends with. */
export const exitCodes = {
  ok: 0,
  /** The task failed, or the service refused the request. */
  failed: 1,
  usage: 2,
  /** The service cannot be reached. */
  unreachable: 3,
  /** The worker refused the task, or asks back. */
  declined: 4,
} as const;
