import { ConfigError, loadConfig } from '../config/load.js';
import { printableConfig } from '../config/print.js';
import type { Config } from '../config/schema.js';
import { domainNames } from '../domains/registry.js';
import { openLog } from './log.js';
import { startService } from './service.js';

await main();

async function main(): Promise<void> {
  const config = readConfig();
  if (config === undefined) {
    process.exitCode = 1;
    return;
  }
  if (process.argv.includes('--check-config')) {
    process.stdout.write(printableConfig(config));
    return;
  }
  const log = openLog(config);
  try {
    const service = await startService(config, log);
    const stop = async () => {
      await service.close();
      process.exit(0);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  } catch (error) {
    log.fatal({ event: 'start_failed', error: (error as Error).message });
    process.exit(1);
  }
}

function readConfig(): Config | undefined {
  try {
    return loadConfig({ env: process.env, argv: process.argv.slice(2), domains: domainNames });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}
