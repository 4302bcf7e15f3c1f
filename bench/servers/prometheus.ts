import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandPath, ensureInstalled } from './debian.js';
import { freePort } from './processes.js';

/** A Prometheus of its own that scrapes one target every second. */
export interface PrometheusServer {
  /** `GET {path}` of its HTTP API. */
  ask(path: string): Promise<unknown>;
  close(): Promise<void>;
}

/** The path of Prometheus' command `prometheus` or `promtool`. */
export function prometheusCommand(name: 'prometheus' | 'promtool'): string {
  return ensureInstalled('prometheus', () => commandPath(name));
}

/** Starts it on a free port of loopback, with its data in a temporary directory. */
export async function startPrometheus(target: string, rules: string): Promise<PrometheusServer> {
  const directory = mkdtempSync(join(tmpdir(), 'prometheus-'));
  const port = await freePort();
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: [{ job_name: 'worker-service', static_configs: [{ targets: [target] }] }],
  };
  // JSON is YAML.
  writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config));
  const server = spawn(
    prometheusCommand('prometheus'),
    [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
  const end = () => server.kill('SIGKILL');
  process.once('exit', end);
  return {
    ask: async (path) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return ((await answer.json()) as { data: unknown }).data;
    },
    close: async () => {
      process.off('exit', end);
      const exited = once(server, 'exit');
      server.kill('SIGTERM');
      await exited;
      rmSync(directory, { recursive: true });
    },
  };
}
