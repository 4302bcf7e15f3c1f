import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * `npm run fuzz [-- EFFORT]`: what the tests generate, EFFORT times as much of it, from a seed of its own: requests from
 * openapi.yaml, hostile bodies, messages from asyncapi.yaml, streams of a gateway. And what no run of the tests has the
 * time for: faults in any order, everything that may be done with one task at once. A finding becomes a test.
 */
const files = [
  'fuzz/faults.fuzz',
  'fuzz/interleavings.fuzz',
  'fuzz/messages.test',
  'fuzz/streams.test',
  'pool/wire.test',
  'pool/answer-scanner.test',
  'pool/tokenizers/properties.test',
  'service/hostile-requests.test',
  'service/generated-requests.test',
];
const [effort = '20'] = process.argv.slice(2);
for (const file of files) {
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', new URL(`../${file}.js`, import.meta.url).pathname],
    { env: { ...process.env, FUZZ_EFFORT: effort }, stdio: 'inherit' },
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) process.exitCode = 1;
}
