import Type from '../../contracts/typebox.js';
import { Name, nameExpectation } from './names.js';

/** The default tier of each domain. */
export const defaultTiers: ReadonlyMap<string, string> = new Map([
  ['code-general', 'small'],
  ['code-vision', 'large'],
  ['code-embedded', 'small'],
  ['documentation', 'small'],
  ['ui-design', 'large'],
]);

const Worker = Type.Object(
  {
    prompt_template: Type.Refine(
      Type.String({
        expected: 'a relative path without `..`',
        description:
          'Template of the prompt, a path inside `prompts.directory`. Default: `workers/` and the name of the domain, with `_` for `-`, and `.md`.',
      }),
      isInnerPath,
    ),
    default_tier: Type.String({
      minLength: 1,
      description: 'Tier of a task that names none. Default: see the table.',
    }),
    temperature: Type.Number({
      default: 0.2,
      minimum: 0,
      maximum: 2,
      description: 'Sampling temperature, without a unit, 0 to 2.',
    }),
  },
  { additionalProperties: false },
);

export const Workers = Type.Record(Name, Worker, {
  additionalProperties: false,
  names: nameExpectation,
  description: 'The workers, by domain. A domain without an entry has the defaults.',
});

function isInnerPath(path: string): boolean {
  return /^[^/\\\0][^\\\0]*$/.test(path) && !path.split('/').includes('..');
}
