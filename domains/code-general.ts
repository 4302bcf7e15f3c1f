import { outputFields } from '../contracts/outcome.js';
import Type from '../contracts/typebox.js';
import type { Domain } from './domain.js';
import { fileFindings } from './files.js';
import { leftovers } from './leftovers.js';
import { sourcesOf } from './sources.js';

/** Code in any language that is no other domain's. */
export const codeGeneral: Domain = {
  name: 'code-general',
  description: 'Code in any programming language.',
  kind: 'code',
  output: Type.Object(
    {
      ...outputFields,
      language: Type.Optional(Type.String({ description: 'The main language, e.g. "python".' })),
      dependencies: Type.Optional(
        Type.Array(Type.String(), {
          description:
            'Packages beyond the standard library, with a version where it matters, e.g. "httpx>=0.27".',
        }),
      ),
      usage: Type.Optional(Type.String({ description: 'How to run or call it: a command or a few lines.' })),
      tests: Type.Optional(
        Type.String({ description: 'Source of the tests, when they are not among the artifacts.' }),
      ),
    },
    { additionalProperties: false },
  ),
  rules: (output) => [...fileFindings(output), ...sourcesOf(output).flatMap(leftovers)],
};
