import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { builtFile } from '../config/package-root.js';
import { keepOwnLines } from './source-maps.js';

/** A step of the build: what a process or a thread loads becomes one file (decisions 0018 and 0027). */
const at = (file: string) => fileURLToPath(builtFile(file));

const common: BuildOptions = {
  absWorkingDir: at(''),
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
};

/** Programs, each in place of its own module; what several have in common, and what is loaded later, are files beside. */
async function bundlePrograms(files: readonly string[], chunks: string): Promise<void> {
  // Packages in CommonJS ask for modules of Node by it.
  const banner =
    "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";
  for (const file of files)
    if (readFileSync(at(file), 'utf8').includes(banner))
      throw new Error(`${file} is a bundle already: npm run compile`);
  rmSync(at(chunks), { recursive: true, force: true });
  const { metafile } = await build({
    ...common,
    entryPoints: files.map(at),
    outdir: at(''),
    outbase: at(''),
    chunkNames: `${chunks}/[hash]`,
    format: 'esm',
    splitting: true,
    // The first three have binaries, or threads that look for them beside their own files.
    external: ['lmdb', 'piscina', 'uWebSockets.js', '../../bench/main.js'],
    banner: { js: banner },
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
  });
  for (const output of Object.keys(metafile.outputs)) if (output.endsWith('.map')) keepOwnLines(at(output));
}

const thread: BuildOptions = {
  ...common,
  format: 'cjs',
  // A thread that asks where it lies would not be told.
  logOverride: { 'empty-import-meta': 'error' },
};

// The others take it in.
const typebox = at('contracts/typebox.js');
await build({ ...common, entryPoints: [typebox], outfile: typebox, format: 'esm', minify: true });
await bundlePrograms(['server/main.js', 'server/dead-letters.js', 'server/cli/main.js'], 'server/chunks');
await build({
  ...thread,
  entryPoints: [at('server/store/lmdb-thread.js')],
  outfile: at('server/store/lmdb-thread.cjs'),
  external: ['lmdb'],
});
await build({
  ...thread,
  entryPoints: [at('pool/thread.js')],
  outfile: at('pool/thread.bundle.cjs'),
  external: ['piscina'],
  supported: { 'dynamic-import': false },
  banner: { js: '(function (exports, require, module) {' },
  footer: { js: '})' },
});
await build({
  ...thread,
  entryPoints: [at('pool/thread-start.js')],
  outfile: at('pool/thread-start.cjs'),
});
