import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { startSimulators } from '../../bench/simulators/start.js';
import { aTask, atService, type ServiceUnderTest } from './at-service.js';

const test = suite('outcomes of a simulator');
/** Stands for a gateway that somebody has configured. */
let configured: Awaited<ReturnType<typeof startSimulators>>;
let service: ServiceUnderTest | undefined;

test.before(async () => {
  configured = await startSimulators({ kinds: ['gateway'] });
});
test.after.each(() => service?.close());
test.after(() => configured.close());

const withoutGateway = async (endpointOfSmall: string) => {
  service = await atService(
    `
tier_models:
  tiny: {model: gemma3:4b, endpoint: own}
  small: {model: gemma3:12b, endpoint: ${endpointOfSmall}}
workers: {code-general: {default_tier: tiny}, ui-design: {default_tier: tiny}, code-vision: {default_tier: tiny}, code-embedded: {default_tier: tiny}, documentation: {default_tier: tiny}}
endpoints: {own: {url: '${configured.gatewayUrl}'}}
`,
    { MODEL_GATEWAY_URL: '' },
  );
  return service;
};
const isSimulated = async (tier: string) => (await service!.execute(aTask({ tier }))).body.simulated;

test('an endpoint without an address is simulated, one that has its own is not', async () => {
  const { ask, logged } = await withoutGateway('other');
  assert.deepEqual([await isSimulated('tiny'), await isSimulated('small')], [undefined, true]);
  assert.deepEqual((await ask('GET', '/health/ready')).body.stand_ins, { model_gateway: 'simulator' });
  assert.equal(logged.filter((entry) => 'event' in entry && entry.event === 'stand_in').length, 1);
});

test('where all have addresses of their own there is no simulator, and health is theirs', async () => {
  const { ask, logged } = await withoutGateway('own');
  assert.deepEqual([await isSimulated('tiny'), await isSimulated('small')], [undefined, undefined]);
  const { body } = await ask('GET', '/health/ready');
  assert.deepEqual([body.stand_ins, body.dependencies.model_gateway], [{}, 'connected']);
  assert.equal(logged.filter((entry) => 'event' in entry && entry.event === 'stand_in').length, 0);
});

test('an address of an endpoint at which nothing answers is told', async () => {
  await configured.close();
  for (const endpointOfSmall of ['own', 'other']) {
    const { ask, close } = await withoutGateway(endpointOfSmall);
    const { body } = await ask('GET', '/health/ready');
    assert.deepEqual([body.ready, body.dependencies.model_gateway], [true, 'disconnected']);
    if (endpointOfSmall === 'own') await close();
  }
});

test.run();
