import Type from '../../contracts/typebox.js';

/** Heap of a thread in MiB where the documents that it may get are not larger than usual. */
export const usualMemoryMb = 512;

/** Heap by byte of the largest document: 22 for the worst one known; the rest is for what the thread holds beside it. */
export const heapPerByte = 32;

export const Threads = Type.Object(
  {
    max_memory_mb: Type.Integer({
      minimum: 32,
      maximum: 65_536,
      description: `Largest heap of one thread, in MiB; a thread that needs more is replaced. At least ${heapPerByte} times the largest of \`server.max_body_bytes\`, \`rabbitmq.max_message_bytes\`, \`rag.max_response_bytes\` and \`output.max_bytes\`. Default: that, and at least ${usualMemoryMb}.`,
    }),
  },
  { additionalProperties: false, description: 'The threads of the pools.' },
);
