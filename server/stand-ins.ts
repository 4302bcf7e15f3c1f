import { gatewayDefaults } from '../bench/simulators/gateway-knobs.js';
import { KnobError } from '../bench/simulators/knob-checks.js';
import { mergeGatewayKnobs } from '../bench/simulators/merge-gateway-knobs.js';
import { startSimulators } from '../bench/simulators/start.js';
import type { Problem } from '../config/error.js';
import { fieldName } from '../config/fields.js';
import type { Config } from '../config/schema.js';
import type { WorkerSeat } from '../contracts/cluster.js';
import type { Log } from './log.js';
import { isSimulated } from './resolution.js';

/** What answers for services that are not configured. */
export interface StandIns {
  /** Undefined where each endpoint in use has a `url` of its own. */
  readonly gatewayUrl: string | undefined;
  readonly ragUrl: string;
  readonly names: Readonly<Record<string, string>>;
}

/** What is wrong with the simulator's knobs, whether it is needed or not. */
export function standInProblems({ embedded }: Config): Problem[] {
  try {
    mergeGatewayKnobs(gatewayDefaults, embedded.simulator);
    return [];
  } catch (error) {
    if (!(error instanceof KnobError)) throw error;
    const expected = 'knobs of the gateway simulator (docs/simulators.md)';
    return [{ path: fieldName(['embedded', 'simulator']), found: error.message, expected }];
  }
}

/** Starts what stands in for services that are not configured, and says so plainly. */
export async function openStandIns(
  config: Config,
  log: Log,
  keep: <T extends { close(): Promise<void> }>(part: T) => T,
): Promise<StandIns> {
  const missing = [
    ...(lacksGateway(config) ? (['gateway'] as const) : []),
    ...(config.rag.url === undefined ? (['rag'] as const) : []),
  ];
  if (missing.length === 0) {
    return { gatewayUrl: config.gateway.url, ragUrl: config.rag.url!, names: {} };
  }
  const running = keep(
    await startSimulators({
      kinds: missing,
      knobs: { gateway: config.embedded.simulator },
      documents: config.embedded.documents,
    }),
  );
  const names: Record<string, string> = {};
  if (running.gatewayUrl !== undefined) {
    names.model_gateway = 'simulator';
    log.warn({
      event: 'stand_in',
      for: 'model_gateway',
      url: running.gatewayUrl,
      message:
        'MODEL_GATEWAY_URL is not set: a simulator answers for endpoints without a url, every outcome of theirs says "simulated": true',
    });
  }
  if (running.ragUrl !== undefined) {
    names.rag = 'embedded retriever';
    log.warn({
      event: 'stand_in',
      for: 'rag',
      url: running.ragUrl,
      message: `RAG_SERVICE_URL is not set: an embedded retriever searches ${config.embedded.documents}`,
    });
  }
  return {
    gatewayUrl: running.gatewayUrl ?? config.gateway.url,
    ragUrl: running.ragUrl ?? config.rag.url!,
    names,
  };
}

/**
 * The stand-ins of a worker: its primary has started them, with the configuration of its own start. A service that was
 * configured since has none.
 * @throws {Error} when one would be needed that the primary did not start.
 */
export function standInsOf(config: Config, seat: WorkerSeat): StandIns {
  const { gateway, rag } = config;
  const simulates = lacksGateway(config);
  return {
    gatewayUrl: simulates ? started('gateway.url', seat.gatewayUrl) : gateway.url,
    ragUrl: rag.url ?? started('rag.url', seat.ragUrl),
    names: {
      ...(simulates && { model_gateway: 'simulator' }),
      ...(rag.url === undefined && { rag: 'embedded retriever' }),
    },
  };
}

function lacksGateway(config: Config): boolean {
  return Object.keys(config.tier_models).some((tier) => isSimulated(config, tier));
}

function started(field: string, url: string | undefined): string {
  if (url !== undefined) return url;
  throw new Error(`${field} is not set, and what stands in for it is started with the service: restart`);
}
