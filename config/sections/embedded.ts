import Type from '../../contracts/typebox.js';

export const Embedded = Type.Object(
  {
    documents: Type.String({
      default: './docs/examples',
      minLength: 1,
      description: 'Directory of the documents that the embedded retriever searches.',
    }),
    simulator: Type.Record(Type.String(), Type.Unknown(), {
      default: { ttftMs: 30, tokensPerSecond: 400 },
      description:
        'Knobs of the gateway simulator, laid over the default (`ttftMs`: milliseconds to the first byte; see `docs/simulators.md`).',
    }),
  },
  { additionalProperties: false, description: 'Stand-ins for the services that are not configured.' },
);
