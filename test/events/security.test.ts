import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { type PostgresServer, startPostgres } from '../../bench/servers/postgres.js';
import { freePort } from '../../bench/servers/processes.js';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { startCollector } from '../servers/collector.js';
import { atService, oneTier, type ServiceUnderTest, until } from '../service/at-service.js';
import { aReadyEvent, aTinyTask, atBroker, type BrokerUnderTest, queuesAreEmpty } from './at-broker.js';

const test = suite('security of messages');
const tlsFile = (name: string) =>
  fileURLToPath(new URL(`../../../test/service/tls/${name}`, import.meta.url));
const secret = 'pa55-of-the-service';
let rabbit: RabbitServer;
let postgres: PostgresServer;
let tlsPort: number;
let under: BrokerUnderTest | undefined;
let alone: ServiceUnderTest | undefined;

test.before(async () => {
  tlsPort = await freePort();
  [rabbit, postgres] = await Promise.all([
    startRabbit([
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${tlsFile('cert.pem')}`,
      `ssl_options.certfile = ${tlsFile('cert.pem')}`,
      `ssl_options.keyfile = ${tlsFile('key.pem')}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    ]),
    startPostgres(),
  ]);
});
test.after(async () => {
  await rabbit?.close();
  await postgres.close();
});
test.after.each(async () => {
  await under?.close();
  await alone?.close();
  under = alone = undefined;
});

const loggedBy = ({ logged }: ServiceUnderTest) => JSON.stringify(logged);

test('over AMQPS, with certificates of both sides', async () => {
  under = await atBroker(rabbit, {
    serviceUrl: `amqps://guest:guest@127.0.0.1:${tlsPort}`,
    env: {
      RABBITMQ_TLS_CA_FILE: tlsFile('cert.pem'),
      RABBITMQ_TLS_CERT_FILE: tlsFile('client-cert.pem'),
      RABBITMQ_TLS_KEY_FILE: tlsFile('client-key.pem'),
    },
  });
  const task = aTinyTask();
  await under.orchestrator.ready(task);
  const [seen] = (await under.orchestrator.outcomes(1)).get(task.task_id)!;
  assert.equal(seen!.event.data.status, 'completed');
});

test('a broker whose certificate nobody vouches for is not spoken to', async () => {
  alone = await atService(oneTier, { RABBITMQ_HOST: `amqps://guest:${secret}@127.0.0.1:${tlsPort}` });
  await until(() => /self-signed certificate/.test(loggedBy(alone!)), 'a line in the log');
  const { body } = await alone.ask('GET', '/health/detailed');
  assert.notEqual(body.dependencies.rabbitmq, 'connected');
  assert.ok(!loggedBy(alone).includes(secret));
});

test('a password that the broker or the database refuses is not in the log, nor in the health', async () => {
  alone = await atService(oneTier, { RABBITMQ_HOST: `amqp://guest:${secret}@127.0.0.1:${rabbit.port}` });
  await until(() => /ACCESS_REFUSED|403/.test(loggedBy(alone!)), 'a line in the log');
  const health =
    (await alone.ask('GET', '/health/detailed')).text + (await alone.ask('GET', '/health/ready')).text;
  for (const text of [loggedBy(alone), health]) assert.ok(!text.includes(secret), text);
  const url = new URL(postgres.url);
  url.username = 'nobody-there';
  url.password = secret;
  const failure = await atService(oneTier, { DATABASE_URL: url.href }).then(
    async (started) => {
      await started.close();
      return undefined;
    },
    (error: Error) => error,
  );
  assert.ok(failure !== undefined, 'a service without its database starts');
  assert.match(failure.message, /cannot be opened: .*nobody-there/);
  assert.ok(!String(failure.stack).includes(secret));
});

test('no id of a message leads out of its namespace, in either store', async () => {
  const hostile = [
    '../../etc/passwd',
    'a/b',
    'a\u0000b',
    "kept'; DROP TABLE tasks; --",
    "' OR '1'='1",
    '__proto__',
    '<script>',
    'kept\r\nx-injected: 1',
    'x'.repeat(10_000),
    '',
  ];
  for (const env of [{}, { DATABASE_URL: postgres.url }]) {
    under = await atBroker(rabbit, { env });
    const kept = aTinyTask({ task_id: `kept-${Object.keys(env).length}` });
    await under.orchestrator.ready(kept);
    for (const task_id of hostile)
      await under.orchestrator.publish(
        'task.ready.tiny',
        Buffer.from(JSON.stringify(aReadyEvent({ ...aTinyTask(), task_id }))),
        { contentType: 'application/cloudevents+json' },
      );
    for (const id of ['constructor', 'toString'])
      await under.orchestrator.ready({ ...aTinyTask(), task_id: id });
    await under.orchestrator.outcomes(3);
    const { queuePrefix } = under.names;
    await queuesAreEmpty(rabbit, under, ['dead']);
    const letters = await under.orchestrator.take(`${queuePrefix}.dead`);
    assert.equal(letters.length, hostile.length);
    assert.equal((await under.stats()).calls, 3);
    for (const id of [kept.task_id, 'constructor', 'toString'])
      assert.equal((await under.ask('GET', `/tasks/${id}`)).body.status, 'completed', id);
    await under.close();
    under = undefined;
  }
});

test('a trace comes in with a message and goes out with the event of its outcome', async () => {
  const collector = await startCollector();
  try {
    under = await atBroker(rabbit, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const [task, invalid] = [aTinyTask(), aTinyTask()];
    const send = (data: object, traceparent: string) =>
      under!.orchestrator.publish(
        'task.ready.tiny',
        Buffer.from(JSON.stringify({ ...aReadyEvent(data), traceparent })),
        { contentType: 'application/cloudevents+json' },
      );
    await send(task, `00-${traceId}-b7ad6b7169203331-01`);
    await send(invalid, 'x');
    const outcomes = await under.orchestrator.outcomes(2);
    const root = () =>
      collector.spans.find(({ attributes }) => attributes['worker.task.id'] === task.task_id);
    await until(() => root() !== undefined, 'the span of the task');
    const CONSUMER = 5;
    assert.deepEqual(
      [root()!.traceId, root()!.parentSpanId, root()!.kind, root()!.attributes['messaging.system']],
      [traceId, 'b7ad6b7169203331', CONSUMER, 'rabbitmq'],
    );
    const [{ event, message }] = outcomes.get(task.task_id)! as [(typeof under.orchestrator.seen)[0]];
    assert.equal(event.traceparent, `00-${traceId}-${root()!.spanId}-01`);
    assert.equal(message.properties.headers!.traceparent, event.traceparent);
    // What is no trace context begins a trace of its own.
    assert.match(outcomes.get(invalid.task_id)![0]!.event.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  } finally {
    await collector.close();
  }
});

test.run();
