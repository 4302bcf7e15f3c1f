import { suite } from 'uvu';
import { sleep, until } from '../service/at-service.js';
import { addOutcomeCases, type Door, outcomesYaml } from '../service/outcomes.cases.js';
import { type SharedRabbit, sharedRabbit } from '../shared-rabbit.js';
import { atBroker, type BrokerUnderTest } from './at-broker.js';

const test = suite('outcomes by events');
let rabbit: SharedRabbit;
let under: BrokerUnderTest;
let door: Door;

test.before(async () => {
  rabbit = await sharedRabbit();
  under = await atBroker(rabbit, { yaml: outcomesYaml, rabbitmq: ['max_attempts: 1'] });
  const { seen } = under.orchestrator;
  const eventOf = (taskId: string) => seen.find(({ event }) => event.data.task_id === taskId);
  door = {
    under,
    run: async ({ tier = 'small', ...task }) => {
      const isNew = eventOf(task.task_id) === undefined;
      await under.orchestrator.ready({ ...task, tier });
      // A task has one terminal event: a repetition is only acked.
      if (isNew) await until(() => eventOf(task.task_id) !== undefined, `the end of ${task.task_id}`);
      else await sleep(300);
      return eventOf(task.task_id)!.event.data;
    },
  };
});
test.after(async () => {
  await under.close();
  await rabbit?.close();
});
test.before.each(() => under.knobs({}));

addOutcomeCases(test, () => door);

test.run();
