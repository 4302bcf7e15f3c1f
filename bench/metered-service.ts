import { EventEmitter } from 'node:events';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { loadConfig } from '../config/load.js';
import { domainNames } from '../domains/registry.js';
import { openLog } from '../server/log.js';
import { startService } from '../server/service.js';
import { type Delay, meterDelay } from './delay-meter.js';

/** What the meter tells. */
export interface MeterReading {
  /** Since the last `reset`. */
  readonly delay: Delay;
  /** Sockets, timers and what else keeps the event loop alive. */
  readonly handles: number;
  /** Listeners of the process and of its handles. */
  readonly listeners: number;
  /** Warnings of Node, as that of an emitter with too many listeners. */
  readonly warnings: number;
  /** Collections of the whole heap of the event loop, since the start. */
  readonly fullCollections: number;
}

/** The service with a meter in its process: the message `reset` begins a measurement, `report` answers with a reading. */
let warnings = 0;
process.on('warning', () => {
  warnings++;
});
let fullCollections = 0;
new PerformanceObserver((list) => {
  fullCollections += list.getEntries().filter(isFull).length;
}).observe({ entryTypes: ['gc'] });
const config = loadConfig({ env: process.env, argv: [], domains: domainNames });
const service = await startService(config, openLog(config));
const delay = meterDelay();

process.on('message', (message) => {
  if (message === 'reset') delay.reset();
  else process.send!(reading());
});
process.once('SIGTERM', () => {
  void service.close().then(() => process.exit(0));
});

function reading(): MeterReading {
  return {
    delay: delay.reading(),
    handles: process.getActiveResourcesInfo().length,
    listeners: [process, ...activeHandles()].reduce((sum, emitter) => sum + listenersOf(emitter), 0),
    warnings,
    fullCollections,
  };
}

function isFull(entry: object): boolean {
  // @types/node does not know the details of `gc`.
  return (
    (entry as { readonly detail: { readonly kind: number } }).detail.kind ===
    constants.NODE_PERFORMANCE_GC_MAJOR
  );
}

/** Not documented; the only list of what is open, with its listeners. */
function activeHandles(): EventEmitter[] {
  const { _getActiveHandles } = process as unknown as { _getActiveHandles(): unknown[] };
  return _getActiveHandles.call(process).filter((handle) => handle instanceof EventEmitter);
}

function listenersOf(emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
}
