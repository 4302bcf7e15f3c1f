import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { builtFile } from '../config/package-root.js';

/** A step of the build: what a process or a thread loads becomes one file (decisions 0018 and 0027). */
async function bundle(from: string, to: string, options: BuildOptions): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(builtFile(from))],
    outfile: fileURLToPath(builtFile(to)),
    allowOverwrite: true,
    bundle: true,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    ...options,
  });
}

/** A program in place of its own module; `external` are what it loads from elsewhere, as it names them. */
function bundleProgram(file: string, external: string[]): Promise<void> {
  return bundle(file, file, {
    format: 'esm',
    external,
    sourcemap: true,
    sourcesContent: false,
    // Packages in CommonJS ask for modules of Node by it.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
}

const thread: BuildOptions = {
  format: 'cjs',
  // A thread that asks where it lies would not be told.
  logOverride: { 'empty-import-meta': 'error' },
};

// The others take it in.
await bundle('contracts/typebox.js', 'contracts/typebox.js', { format: 'esm', minify: true });
await bundleProgram('server/main.js', [
  // With binaries, and threads that look for them beside their own files.
  'lmdb',
  'piscina',
  'uWebSockets.js',
  // Where no collector is configured it is not loaded.
  './tracing/open-telemetry.js',
]);
await bundleProgram('server/dead-letters.js', []);
await bundleProgram('server/cli/main.js', [
  // Programs of their own.
  '../main.js',
  '../dead-letters.js',
  '../tokens/command.js',
  '../../bench/main.js',
]);
await bundle('server/store/lmdb-thread.js', 'server/store/lmdb-thread.cjs', {
  ...thread,
  external: ['lmdb'],
});
await bundle('pool/thread.js', 'pool/thread.bundle.cjs', {
  ...thread,
  external: ['piscina'],
  supported: { 'dynamic-import': false },
  banner: { js: '(function (exports, require, module) {' },
  footer: { js: '})' },
});
await bundle('pool/thread-start.js', 'pool/thread-start.cjs', thread);
