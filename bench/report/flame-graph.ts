import { escaped } from './page.js';

/** What a `.cpuprofile` of V8 holds, as far as it is read here (Chrome DevTools Protocol, Profiler.Profile). */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      /** Where the function begins, counted from 0. */
      readonly lineNumber?: number;
    };
    readonly children?: readonly number[];
  }[];
  /** Ids of nodes. */
  readonly samples: readonly number[];
  /** Microseconds from the sample before to each sample. */
  readonly timeDeltas: readonly number[];
}

/** A function, called along one way, with what it called. */
export interface Frame {
  readonly name: string;
  readonly origin: Origin;
  /** Microseconds, with those of its children. */
  total: number;
  /** Microseconds of its own. */
  self: number;
  readonly children: Map<string, Frame>;
}

export type Origin = 'service' | 'packages' | 'node' | 'garbage collector' | 'native';

/** Folds the samples that were taken after `skipMicros` into one tree; idle time is left out. */
export function foldProfile({ nodes, samples, timeDeltas }: CpuProfile, skipMicros: number): Frame {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root = frame('all', 'native');
  let at = 0;
  samples.forEach((sample, index) => {
    const micros = timeDeltas[index]!;
    at += micros;
    if (at < skipMicros || byId.get(sample)?.callFrame.functionName === '(idle)') return;
    const way: Frame[] = [];
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
      const { functionName, url } = byId.get(id)!.callFrame;
      if (functionName !== '(root)')
        way.unshift(frame(nameOf(functionName, url), originOf(functionName, url)));
    }
    add(root, way, micros);
  });
  return root;
}

/** Microseconds of each origin's own, the largest first. */
export function sharesOf(root: Frame): [Origin, number][] {
  const sums = new Map<Origin, number>();
  const visit = ({ origin, self, children }: Frame) => {
    sums.set(origin, (sums.get(origin) ?? 0) + self);
    for (const child of children.values()) visit(child);
  };
  visit(root);
  return [...sums].sort(([, a], [, b]) => b - a);
}

/** The tree as a flame graph (Gregg, "The Flame Graph", CACM 2016): one SVG that loads nothing. */
export function flameGraph(root: Frame, title: string): string {
  const boxes: string[] = [];
  let depths = 0;
  const draw = (node: Frame, x: number, depth: number) => {
    const width = (node.total / root.total) * WIDTH;
    if (width < SMALLEST) return;
    depths = Math.max(depths, depth);
    boxes.push(box(node, x, depth, width, root.total));
    let at = x;
    for (const child of [...node.children.values()].sort((a, b) => a.name.localeCompare(b.name))) {
      draw(child, at, depth + 1);
      at += (child.total / root.total) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = (depths + 1) * ROW;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height + HEAD}" font-family="sans-serif" font-size="11">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="4" y="16" font-size="14">${escaped(title)}</text>
${legend()}
<g transform="translate(0 ${HEAD + height - ROW})">
${boxes.join('\n')}
</g>
</svg>
`;
}

const WIDTH = 1400;
const ROW = 16;
const HEAD = 44;
/** Narrower ones are not drawn. */
const SMALLEST = 1.5;
const CHARACTER = 6;

const colours: Readonly<Record<Origin, string>> = {
  service: '#f4a259',
  packages: '#8cb8e8',
  node: '#a8d5a2',
  'garbage collector': '#e58b8b',
  native: '#d0d0d0',
};

function frame(name: string, origin: Origin): Frame {
  return { name, origin, total: 0, self: 0, children: new Map() };
}

function add(root: Frame, way: readonly Frame[], micros: number): void {
  let node = root;
  node.total += micros;
  for (const step of way) {
    const known = node.children.get(step.name) ?? step;
    node.children.set(step.name, known);
    known.total += micros;
    node = known;
  }
  node.self += micros;
}

function nameOf(functionName: string, url: string): string {
  const file = url.replace(/^.*?(?:node_modules\/|\/dist\/)/, '').replace(/^file:\/\//, '');
  const name = functionName === '' ? '(anonymous)' : functionName;
  return file === '' ? name : `${name} ${file}`;
}

function originOf(functionName: string, url: string): Origin {
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (url === '') return 'native';
  if (url.startsWith('node:')) return 'node';
  return url.includes('node_modules/') || url.startsWith('wasm:') ? 'packages' : 'service';
}

function box({ name, origin, total }: Frame, x: number, depth: number, width: number, all: number): string {
  const label = escaped(name.slice(0, Math.floor((width - 4) / CHARACTER)));
  const text = width < 30 ? '' : `<text x="${(x + 2).toFixed(1)}" y="${-depth * ROW + 12}">${label}</text>`;
  return `<g><title>${escaped(name)}: ${((100 * total) / all).toFixed(1)} %</title><rect x="${x.toFixed(1)}" y="${-depth * ROW}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colours[origin]}"/>${text}</g>`;
}

function legend(): string {
  return Object.entries(colours)
    .map(
      ([origin, colour], at) =>
        `<rect x="${4 + at * 140}" y="24" width="12" height="12" fill="${colour}"/><text x="${20 + at * 140}" y="34">${origin}</text>`,
    )
    .join('');
}
