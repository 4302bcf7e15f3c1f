import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../config/package-root.js';
import { type Simulator, startGateway } from './gateway.js';
import type { GatewayKnobsInput } from './gateway-knobs.js';
import { startRag } from './rag.js';
import type { RagKnobsInput } from './rag-knobs.js';

/** Printed as one line on stdout, and sent to the parent when there is an IPC channel. */
export interface Listening {
  readonly event: 'listening';
  readonly gateway?: string;
  readonly rag?: string;
}

/** `--knobs`, and the knobs of `startSimulators`. */
export interface SimulatorKnobs {
  readonly gateway?: GatewayKnobsInput;
  readonly rag?: RagKnobsInput;
}

const usage = `Usage: main.js gateway|rag|both [--port 0] [--rag-port 0] [--documents DIR]
               [--knobs '{"gateway": {...}, "rag": {...}}'] [--with-parent]

--with-parent  exit when stdin ends`;

await main();

async function main(): Promise<void> {
  try {
    const { kind, ports, documents, knobs, withParent } = readArguments();
    endWith(withParent);
    const gateway =
      kind === 'rag' ? undefined : await startGateway({ port: ports.gateway, ...forGateway(knobs) });
    const rag =
      kind === 'gateway' ? undefined : await startRag({ port: ports.rag, documents, ...forRag(knobs) });
    announce(gateway, rag);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: 'string', default: '0' },
      'rag-port': { type: 'string', default: '0' },
      documents: {
        type: 'string',
        default: fileURLToPath(new URL('docs/examples', packageRoot)),
      },
      knobs: { type: 'string', default: '{}' },
      'with-parent': { type: 'boolean', default: false },
    },
  });
  const kind = positionals[0];
  if (positionals.length !== 1 || (kind !== 'gateway' && kind !== 'rag' && kind !== 'both'))
    throw new Error(usage);
  const gateway = portOf(values.port);
  // Alone, the retriever is what --port means.
  const rag = kind === 'rag' && values['rag-port'] === '0' ? gateway : portOf(values['rag-port']);
  return {
    kind,
    ports: { gateway, rag },
    documents: values.documents,
    knobs: readKnobs(values.knobs),
    withParent: values['with-parent'],
  };
}

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`${text} is not a port.\n${usage}`);
  return port;
}

/** The names inside are checked by those whom they are for. */
function readKnobs(text: string): SimulatorKnobs {
  const knobs: unknown = JSON.parse(text);
  const isObject = typeof knobs === 'object' && knobs !== null;
  const stranger = isObject
    ? Object.keys(knobs).find((name) => name !== 'gateway' && name !== 'rag')
    : 'knobs';
  if (stranger !== undefined)
    throw new Error(`--knobs: ${stranger} is neither "gateway" nor "rag".\n${usage}`);
  return knobs as SimulatorKnobs;
}

function forGateway({ gateway }: SimulatorKnobs) {
  return gateway === undefined ? {} : { knobs: gateway };
}

function forRag({ rag }: SimulatorKnobs) {
  return rag === undefined ? {} : { knobs: rag };
}

/** A simulator that outlives its parent would keep its port and confuse the next run. */
function endWith(withParent: boolean): void {
  process.on('SIGTERM', () => process.exit(0));
  if (process.connected) {
    process.once('disconnect', () => process.exit(0));
    // Ctrl-C reaches the whole process group, and the parent still drains its tasks through this process.
    process.on('SIGINT', () => {});
  }
  if (withParent) process.stdin.once('end', () => process.exit(0)).resume();
}

function announce(gateway: Simulator | undefined, rag: Simulator | undefined): void {
  const listening: Listening = {
    event: 'listening',
    ...(gateway !== undefined && { gateway: gateway.url }),
    ...(rag !== undefined && { rag: rag.url }),
  };
  console.log(JSON.stringify(listening));
  process.send?.(listening);
}
