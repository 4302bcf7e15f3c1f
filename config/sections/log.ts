import { logLevels } from '../../contracts/cluster.js';
import Type from '../../contracts/typebox.js';

export const Log = Type.Object(
  {
    level: Type.Enum([...logLevels], {
      default: 'info',
      description: 'Least severity that is logged; `PUT /log-level` changes it while the service runs.',
    }),
    prompts: Type.Boolean({
      default: false,
      description:
        'For debugging: whether prompts and outputs are logged, and what models and gateways say in errors.',
    }),
  },
  { additionalProperties: false, description: 'Logs.' },
);
