import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { suite } from 'uvu';
import { freePort } from '../../bench/servers/processes.js';
import { type RabbitServer, startRabbit } from '../../bench/servers/rabbitmq.js';
import { startSimulators } from '../../bench/simulators/start.js';
import { terminalEventId } from '../../server/events/outcome-event.js';
import { freshNames, rabbitmqSection } from '../events/at-broker.js';
import { onlyTiny } from '../service/at-service.js';
import { tell } from '../tell.js';
import {
  aSteadyOrchestrator,
  atFaults,
  closeAll,
  eventually,
  nothingIsLost,
  tinyTasks,
} from './at-faults.js';

const test = suite('time that passes without an answer');
let rabbit: RabbitServer;
const CONSUMER_TIMEOUT_MS = 5000;

test.before(async () => {
  rabbit = await startRabbit([`consumer_timeout = ${CONSUMER_TIMEOUT_MS}`]);
  // How often a channel looks for deliveries that are too old; rabbitmq.conf has no name for it.
  await rabbit.evaluate('application:set_env(rabbit, channel_tick_interval, 1000).');
});
/** How many connections say that they are the service's. */
const SERVICES = `length([Each || Each <- rabbit_networking:connection_info_all([client_properties]),
  string:find(io_lib:format("~p", [Each]), "worker-service") =/= nomatch]).`;

test.after.each(closeAll);
test.after(() => rabbit?.close());

const main = fileURLToPath(new URL('../../server/main.js', import.meta.url));

test('an event loop that stands still for longer than two heartbeats recovers, and calls no model again', async () => {
  const names = freshNames();
  const orchestrator = await aSteadyOrchestrator(rabbit.url, names);
  const directory = mkdtempSync(join(tmpdir(), 'standstill-'));
  const simulators = await startSimulators({
    kinds: ['gateway', 'rag'],
    knobs: { gateway: { ttftMs: 100 } },
  });
  const port = await freePort();
  const configFile = join(directory, 'config.yaml');
  const section = rabbitmqSection(names, ['heartbeat_seconds: 1', 'reconnect_max_ms: 500']);
  writeFileSync(configFile, `${onlyTiny(4, 60)}\n${section}`);
  let child: ChildProcess | undefined;
  try {
    child = spawn(process.execPath, [main], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        CONFIG_FILE: configFile,
        MODEL_GATEWAY_URL: simulators.gatewayUrl,
        RAG_SERVICE_URL: simulators.ragUrl,
        RABBITMQ_HOST: rabbit.url,
        DATA_DIR: join(directory, 'data'),
        SERVICE_PORT: String(port),
        WORKERS: '1',
        HOST: '127.0.0.1',
      },
    });
    const connected = async () => {
      try {
        const answer = await request(`http://127.0.0.1:${port}/health/detailed`);
        const { dependencies } = (await answer.body.json()) as { dependencies: { rabbitmq: string } };
        return dependencies.rabbitmq === 'connected';
      } catch {
        return false;
      }
    };
    await eventually(connected, 'connected');
    const tasks = tinyTasks(60);
    for (const task of tasks) await orchestrator.ready(task);
    for (const [stop, outcomes] of [10, 25].entries()) {
      await orchestrator.outcomes(outcomes);
      child.kill('SIGSTOP');
      // The broker alone knows when it has given the process up: it closes after three of the heartbeats.
      await eventually(
        async () => (await rabbit.evaluate(SERVICES)) === '{ok, 0}',
        `the broker gives the process up (${stop})`,
      );
      child.kill('SIGCONT');
    }
    await orchestrator.outcomes(tasks.length);
    await eventually(connected, 'connected again');
    const exited = new Promise((resolve) => child!.once('exit', resolve));
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    const stats = `${simulators.gatewayUrl!.replace('/api/v1', '')}/_simulator/stats`;
    const { byTask } = (await (await request(stats)).body.json()) as { byTask: Record<string, number> };
    const ids = new Set(orchestrator.seen.map(({ event }) => event.id));
    const calls = Object.values(byTask).reduce((sum, each) => sum + each, 0);
    tell(
      `sent ${tasks.length}, distinct outcomes ${ids.size}, duplicates ${orchestrator.seen.length - ids.size}, model calls ${calls}`,
    );
    assert.deepEqual([...ids].sort(), tasks.map(({ task_id }) => terminalEventId(task_id)).sort());
    assert.deepEqual(Object.values(byTask), Array(tasks.length).fill(1));
    for (const name of ['ready.tiny', 'suspect.tiny', 'dead', 'unrouted', 'delay.100', 'delay.200'])
      assert.equal(await orchestrator.depth(`${names.queuePrefix}.${name}`), 0, name);
  } finally {
    child?.kill('SIGKILL');
    await simulators.close();
    await orchestrator.close();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('a call that takes longer than the consumer_timeout of the broker: one call, one outcome, no message left', async () => {
  const under = await atFaults(rabbit);
  await under.knobs({ script: [{ ttftMs: CONSUMER_TIMEOUT_MS + 4000 }] });
  const [long, ...others] = tinyTasks(10);
  await under.orchestrator.ready(long!);
  await eventually(async () => (await under.stats()).open === 1, 'the long call');
  for (const task of others) await under.orchestrator.ready(task);
  await under.orchestrator.outcomes(10);
  assert.ok(under.entries('consume_channel_error').length > 0, 'the broker closed no channel');
  await nothingIsLost(under, [long!, ...others]);
});

test.run();
