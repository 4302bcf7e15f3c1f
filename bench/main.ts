/** `npm run bench -- NAME…` runs benchmarks one after the other, all without a name. One file, one question. */
const benchmarks: Record<string, () => Promise<{ run(): Promise<unknown> }>> = {
  execute: () => import('./execute.js'),
  loop: () => import('./loop.js'),
  events: () => import('./events.js'),
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(benchmarks);
for (const name of names) {
  if (!Object.hasOwn(benchmarks, name)) {
    console.error(`there is no benchmark ${name}; known: ${Object.keys(benchmarks).join(', ')}`);
    process.exit(2);
  }
}
for (const name of names) {
  console.log(`\n${name}`);
  await (await benchmarks[name]!()).run();
}
