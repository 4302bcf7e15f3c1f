import { outputFields } from '../contracts/outcome.js';
import Type from '../contracts/typebox.js';
import { blank } from './blank.js';
import type { Domain, DomainFinding } from './domain.js';
import { fileFindings } from './files.js';
import { leftovers } from './leftovers.js';
import { noteAt, type Source, sourcesOf } from './sources.js';

/** Code for computer vision: capture, image processing, inference. It does not look at images itself. */
export const codeVision: Domain = {
  name: 'code-vision',
  description: 'Code for computer vision and image processing: capture, colour spaces, frame rate.',
  kind: 'code',
  output: Type.Object(
    {
      ...outputFields,
      color_space: Type.Optional(
        Type.Object(
          {
            input: Type.Optional(Type.String({ description: 'As frames arrive, e.g. "BGR".' })),
            working: Type.Optional(Type.String({ description: 'In which the work is done, e.g. "GRAY".' })),
            output: Type.Optional(Type.String({ description: 'As results leave, e.g. "RGB".' })),
          },
          { additionalProperties: false, description: 'Colour spaces from end to end.' },
        ),
      ),
      dtype: Type.Optional(
        Type.String({ description: 'Element type and range of the arrays, e.g. "uint8, 0 to 255".' }),
      ),
      frame_rate_fps: Type.Optional(
        Type.Number({ minimum: 0, description: 'Frames per second the code is designed for.' }),
      ),
      latency_budget_ms: Type.Optional(
        Type.Number({ minimum: 0, description: 'Milliseconds from capture to result.' }),
      ),
      capture_failures: Type.Optional(
        Type.Array(
          Type.Object(
            {
              failure: Type.String({ description: 'What goes wrong, e.g. "camera unplugged".' }),
              handling: Type.String({ description: 'What the code does then.' }),
            },
            { additionalProperties: false },
          ),
          { description: 'Failures of cameras, files and streams, and how each is handled.' },
        ),
      ),
      dependencies: Type.Optional(
        Type.Array(Type.String(), { description: 'Packages and versions, e.g. "opencv-python>=4.9".' }),
      ),
    },
    { additionalProperties: false },
  ),
  rules: (output) => [
    ...fileFindings(output),
    ...sourcesOf(output).flatMap((source) => [...leftovers(source), ...captureNotes(source)]),
  ],
};

function captureNotes(source: Source): DomainFinding[] {
  if (!source.text.includes('imread') && !source.text.includes('VideoCapture')) return [];
  const code = blank(source.text, isPython(source) ? 'python' : 'c');
  return [
    ...noteAt(source, uncheckedImages(code), 'the image is used without a check that it was read'),
    ...noteAt(source, uncheckedFrames(code), 'the result of read() is not checked'),
  ];
}

function isPython({ language, text }: Source): boolean {
  return language === undefined ? /^[ \t]*(?:import|from|def)[ \t]/m.test(text) : /^py/.test(language);
}

// Characters of a line that are looked at to see where a result goes.
const prefixCharacters = 200;
// Names that are followed: more than real code has, and a bound on the work.
const maxNames = 32;
const maxCalls = 1000;

/** Calls of imread whose result has a name that no condition ever mentions, or goes straight into OpenCV. */
function uncheckedImages(code: string): number[] {
  // A bare imread is OpenCV's in C++; in Python it may be another library's, which raises.
  const imread =
    /\bcv::/.test(code) || /\busing namespace cv\b/.test(code)
      ? /(?<![\w.])(?:cv::)?imread[ \t]*\(/g
      : /(?<![\w.])cv2\.imread[ \t]*\(/g;
  const straight: number[] = [];
  const named = new Map<string, number>();
  for (const match of firstOf(code.matchAll(imread))) {
    const prefix = lineBefore(code, match.index);
    if (/\bcv2?(?:\.|::)\w{1,40}\([ \t]*$/.test(prefix)) straight.push(match.index);
    const name = /(?<![\w.])([\w.]{1,80})[ \t]*(?::[^=:()]{1,60})?=[ \t]*$/.exec(prefix)?.[1];
    if (name !== undefined && !named.has(name) && named.size < maxNames) named.set(name, match.index);
  }
  const unchecked = [...named].filter(([name]) => !isChecked(code, name)).map(([, place]) => place);
  return [...straight, ...unchecked].sort((a, b) => a - b);
}

function isChecked(code: string, name: string): boolean {
  const exact = `(?<![\\w.])${name.replaceAll('.', '\\.')}`;
  return new RegExp(
    `${exact}[ \\t]+is\\b|${exact}[ \\t]*[!=]=|${exact}\\.(?:empty|size|data)\\b|` +
      `\\b(?:if|elif|while|assert|and|or|not|return|yield|isinstance)\\b[ \\t(!]{0,8}${exact}\\b|` +
      `(?:check|valid|ensure|require)\\w{0,40}[ \\t]*\\([ \\t]*${exact}\\b`,
    'i',
  ).test(code);
}

/** Reads of a capture whose flag is never looked at, nor the frame. */
function uncheckedFrames(code: string): number[] {
  const captures = new Set<string>();
  for (const match of firstOf(code.matchAll(/\bVideoCapture\b/g))) {
    const python = /(?<![\w.])([\w.]{1,80})[ \t]*=[ \t]*cv2\.$/.exec(lineBefore(code, match.index))?.[1];
    const cpp = /^[ \t]+([A-Za-z_]\w{0,80})[ \t]*[({;=]/.exec(
      code.slice(match.index + match[0].length, match.index + prefixCharacters),
    )?.[1];
    if (captures.size < maxNames) captures.add(python ?? cpp ?? '');
  }
  captures.delete('');
  return [...captures].flatMap((name) => uncheckedReads(code, name)).sort((a, b) => a - b);
}

function uncheckedReads(code: string, capture: string): number[] {
  const reads: { readonly place: number; readonly flag: string | undefined; readonly frame: string }[] = [];
  const name = capture.replaceAll('.', '\\.');
  const pattern = new RegExp(
    `(?<![\\w.])${name}(?:\\.read[ \\t]*\\(([\\w.]{0,80})\\)|[ \\t]*>>[ \\t]*(\\w{1,80}))`,
    'g',
  );
  for (const match of firstOf(code.matchAll(pattern))) {
    const prefix = lineBefore(code, match.index);
    const pair = /(?<![\w.])([\w.]{1,80})[ \t]*,[ \t]*([\w.]{1,80})[ \t]*=[ \t]*$/.exec(prefix);
    if (pair !== null) reads.push({ place: match.index, flag: pair[1], frame: pair[2]! });
    else if (prefix.trim() === '')
      reads.push({ place: match.index, flag: undefined, frame: match[1] || match[2] || '' });
  }
  // Repeated names get one look each.
  const looked = new Map<string, boolean>();
  const isLookedAt = (flag: string | undefined, frame: string) => {
    const key = `${flag} ${frame}`;
    if (!looked.has(key) && looked.size < maxNames) {
      const flagged =
        flag !== undefined && mentions(code, flag) > reads.filter((read) => read.flag === flag).length;
      looked.set(key, flagged || frame === '' || isChecked(code, frame));
    }
    return looked.get(key) ?? true;
  };
  return reads.filter(({ flag, frame }) => !isLookedAt(flag, frame)).map(({ place }) => place);
}

function mentions(code: string, name: string): number {
  return [...code.matchAll(new RegExp(`(?<![\\w.])${name.replaceAll('.', '\\.')}\\b`, 'g'))].length;
}

function lineBefore(code: string, place: number): string {
  const before = code.slice(Math.max(0, place - prefixCharacters), place);
  return before.slice(before.lastIndexOf('\n') + 1);
}

function* firstOf(matches: Iterable<RegExpExecArray>): Iterable<RegExpExecArray> {
  let left = maxCalls;
  for (const match of matches) {
    if (left-- === 0) return;
    yield match;
  }
}
