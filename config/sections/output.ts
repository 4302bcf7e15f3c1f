import Type from '../../contracts/typebox.js';
import { gib, kib, mib } from './sizes.js';

export const Output = Type.Object(
  {
    repairs: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 10,
      description: 'Further calls to mend an invalid output.',
    }),
    max_bytes: Type.Integer({
      default: 4 * mib,
      minimum: kib,
      maximum: gib,
      description:
        'Largest output of a model, in bytes of UTF-8. One message of the gateway, a whole answer or an event of a stream, may be four times as large, and 1 MiB in any case.',
    }),
  },
  { additionalProperties: false, description: 'What becomes of a model’s output.' },
);
