import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { request } from 'undici';
import { startSimulators } from './start.js';
import type { Stats } from './stats.js';

/**
 * How many instant answers of 20 deltas the gateway simulator gives, and what each costs it: the price of the
 * stand-in in every other benchmark. Prints one JSON line. `node dist/bench/simulators/throughput.js [seconds]`
 */
const seconds = Number(process.argv[2] ?? 5);
const simulators = await startSimulators({ kinds: ['gateway'], knobs: { gateway: { chunks: 20 } } });
try {
  await load(1);
  const before = await stats();
  const answersPerSecond = await load(seconds);
  const after = await stats();
  const answered = after.completed - before.completed;
  const cpuMicrosecondsPerAnswer = Math.round(((after.cpuMs - before.cpuMs) / answered) * 1000);
  console.log(JSON.stringify({ answered, answersPerSecond, cpuMicrosecondsPerAnswer }));
} finally {
  await simulators.close();
}

/** @returns answers per second. */
async function load(duration: number): Promise<number> {
  const body = JSON.stringify({
    model: 'gemma3:12b',
    stream: true,
    stream_options: { include_usage: true },
    messages: [
      {
        role: 'system',
        content: `You are the code-general worker. ${'Follow the rules of the team. '.repeat(50)}`,
      },
      { role: 'user', content: 'Create fibonacci function' },
    ],
  });
  const url = `${simulators.gatewayUrl}/chat/completions`;
  const args = ['autocannon', '--json', '-c', '32', '-d', String(duration), '-m', 'POST', '-b', body, url];
  const autocannon = spawn('npx', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const report: { requests: { average: number } } = JSON.parse(await text(autocannon.stdout));
  return Math.round(report.requests.average);
}

async function stats(): Promise<Stats> {
  const response = await request(`${simulators.gatewayUrl}/_simulator/stats`);
  return (await response.body.json()) as Stats;
}
