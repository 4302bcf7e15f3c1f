import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArguments, usage } from './arguments.js';
import { compare, readResult } from './compare.js';
import { reportPage } from './report/page.js';
import { runSuite, type Scenarios } from './suite.js';
import { comparisonTable, resultTable } from './tables.js';

/** `npm run bench`: see `usage`. Ends with 1 when a scenario could not be run; an aim that is missed is no failure. */
const scenarios: Scenarios = {
  execute: () => import('./scenarios/execute.js'),
  overhead: () => import('./scenarios/overhead.js'),
  peers: () => import('./scenarios/peers.js'),
  isolation: () => import('./scenarios/isolation.js'),
  loop: () => import('./scenarios/loop.js'),
  tokens: () => import('./scenarios/tokens.js'),
  events: () => import('./scenarios/events.js'),
  sla: () => import('./scenarios/sla.js'),
  soak: () => import('./scenarios/soak.js'),
  start: () => import('./scenarios/start.js'),
  traces: () => import('./scenarios/traces.js'),
  nodes: () => import('./scenarios/nodes.js'),
};

await main();

async function main(): Promise<void> {
  const command = parseArguments(process.argv.slice(2), Object.keys(scenarios));
  // What was started goes with this process, whose exit handlers a signal would pass by.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  if (command.kind === 'help') {
    console.log(`${usage}\n\nScenarios: ${Object.keys(scenarios).join(', ')}`);
  } else if (command.kind === 'wrong') {
    console.error(`${command.message}\n\n${usage}`);
    process.exitCode = 2;
  } else if (command.kind === 'compare') {
    printComparison(command.before, command.after);
  } else {
    const result = await runSuite(scenarios, command, (text) => console.error(text));
    console.log(`\n${resultTable(result)}\n`);
    mkdirSync(command.output, { recursive: true });
    const path = join(command.output, `bench-${result.startedAt.replace(/\D/g, '').slice(0, 14)}`);
    writeFileSync(`${path}.json`, `${JSON.stringify(result, null, 1)}\n`);
    writeFileSync(`${path}.html`, reportPage(result));
    console.log(`${path}.json\n${path}.html`);
    // At once: what a scenario that failed has left running would keep this process.
    process.exit(result.scenarios.some(({ error }) => error !== undefined) ? 1 : 0);
  }
}

function printComparison(before: string, after: string): void {
  try {
    const [old, recent] = [before, after].map((path) => readResult(readFileSync(path, 'utf8'), path));
    console.log(comparisonTable(compare(old!, recent!)));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 2;
  }
}
