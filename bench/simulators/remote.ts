import { request } from 'undici';
import type { GatewayKnobsInput } from './gateway-knobs.js';
import type { Stats } from './stats.js';

/** Sets the knobs of a simulator that runs; those that are not named go back to their defaults. */
export async function setKnobs(gatewayUrl: string, knobs: GatewayKnobsInput): Promise<void> {
  const url = controlOf(gatewayUrl, 'knobs');
  await (await request(url, { method: 'DELETE' })).body.dump();
  const answer = await request(url, { method: 'PUT', body: JSON.stringify(knobs) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`the simulator refuses ${JSON.stringify(knobs)}: ${text}`);
}

/** What the simulator has counted since its start. */
export async function readStats(gatewayUrl: string): Promise<Stats> {
  return (await (await request(controlOf(gatewayUrl, 'stats'))).body.json()) as Stats;
}

function controlOf(gatewayUrl: string, path: string): string {
  return `${gatewayUrl.replace('/api/v1', '')}/_simulator/${path}`;
}
