import { suite } from 'uvu';
import { atService } from './at-service.js';
import { addOutcomeCases, type Door, outcomesYaml } from './outcomes.cases.js';

const test = suite('outcomes by HTTP');
let door: Door;

test.before(async () => {
  const under = await atService(outcomesYaml);
  door = { under, run: async (task) => (await under.execute(task)).body };
});
test.after(() => door.under.close());
test.before.each(() => door.under.knobs({}));

addOutcomeCases(test, () => door);

test.run();
