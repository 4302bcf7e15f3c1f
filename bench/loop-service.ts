import { monitorEventLoopDelay } from 'node:perf_hooks';
import { loadConfig } from '../config/load.js';
import { domainNames } from '../domains/registry.js';
import { openLog } from '../server/log.js';
import { startService } from '../server/service.js';

/** The service with a meter of its event loop: the message `reset` begins a measurement, `report` ends it. */
const config = loadConfig({ env: process.env, argv: [], domains: domainNames });
const service = await startService(config, openLog(config));
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

process.on('message', (message) => {
  if (message === 'reset') delay.reset();
  else {
    const ms = (nanoseconds: number) => nanoseconds / 1e6;
    process.send!({
      p50: ms(delay.percentile(50)),
      p99: ms(delay.percentile(99)),
      p999: ms(delay.percentile(99.9)),
      max: ms(delay.max),
    });
  }
});
process.once('SIGTERM', () => {
  void service.close().then(() => process.exit(0));
});
