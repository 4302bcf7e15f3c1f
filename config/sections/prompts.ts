import Type from '../../contracts/typebox.js';

export const Prompts = Type.Object(
  {
    directory: Type.String({
      default: './prompts',
      minLength: 1,
      description: 'Directory of the prompt templates.',
    }),
    reload: Type.Boolean({
      default: true,
      description: 'Whether a template that changes on disk is read again without a restart.',
    }),
  },
  { additionalProperties: false, description: 'Prompt templates.' },
);
