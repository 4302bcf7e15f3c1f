import { randomOf } from './simulators/random.js';

/** The fields of a task that scenarios choose. */
export interface TaskChoice {
  readonly tier?: string;
  readonly domain?: string;
  /** Context that the caller brings; `null`: it is to be retrieved. @default a line */
  readonly context?: string | null;
}

/** Makes short tasks: the same ones for the same seed, each with an id that no other has. */
export function taskMaker(
  seed: number,
  prefix: string,
  { tier = 'small', domain = 'code-general', context = 'Use Python 3.' }: TaskChoice = {},
): () => { readonly id: string; readonly data: object } {
  const random = randomOf(seed, 0);
  let number = 0;
  return () => {
    number++;
    const id = `${prefix}-${number}`;
    const data = {
      task_id: id,
      description: descriptions[Math.floor(random() * descriptions.length)]!,
      domain,
      tier,
      ...(context !== null && { context }),
    };
    return { id, data };
  };
}

/** What is asked of the gateway when it is called without a service between: about the prompt of a short task. */
export function directCall(system: string, model: string): object {
  return {
    model,
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: descriptions[0] },
    ],
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** What a model answers to a short task. */
export const shortAnswer = JSON.stringify({
  status: 'completed',
  content:
    'def fibonacci(n: int) -> int:\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n',
  summary: 'An iterative Fibonacci function.',
});

const descriptions = [
  'Create fibonacci function',
  'Parse a date in ISO 8601 and say what is wrong with it',
  'Write a ring buffer of bytes',
  'Read a CSV file line by line and sum its second column',
  'Reverse a linked list in place',
  'Write a retry helper with exponential backoff and full jitter',
  'Compute a moving median over a window of samples',
  'Validate an IBAN',
  'Turn a nested object into dotted keys and back',
  'Write a token bucket that several threads may use',
  'Find the longest common prefix of a list of words',
  'Merge two sorted streams without holding either in memory',
];
