import { outputFields } from '../contracts/outcome.js';
import Type from '../contracts/typebox.js';
import { blank } from './blank.js';
import type { Domain, DomainFinding } from './domain.js';
import { fileFindings } from './files.js';
import { leftovers } from './leftovers.js';
import { noteAt, placesOf, type Source, sourcesOf } from './sources.js';

const Bytes = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));

/** Firmware and code for microcontrollers. */
export const codeEmbedded: Domain = {
  name: 'code-embedded',
  description: 'Firmware and code for microcontrollers, within bounds of memory and time.',
  kind: 'code',
  output: Type.Object(
    {
      ...outputFields,
      target: Type.Optional(
        Type.String({ description: 'MCU or board, toolchain and RTOS, e.g. "STM32F103, arm-gcc, no RTOS".' }),
      ),
      memory: Type.Optional(
        Type.Object(
          {
            flash_bytes: Bytes('Estimated code and constants.'),
            ram_bytes: Bytes('Estimated static data.'),
            stack_bytes: Bytes('Estimated deepest stack, interrupts included.'),
          },
          { additionalProperties: false, description: 'Estimates, in bytes.' },
        ),
      ),
      timing: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String({ description: 'The task, function or interrupt.' }),
              deadline_us: Type.Optional(
                Type.Number({ minimum: 0, description: 'Microseconds it may take at most.' }),
              ),
              period_us: Type.Optional(
                Type.Number({ minimum: 0, description: 'Microseconds from one run to the next.' }),
              ),
            },
            { additionalProperties: false },
          ),
          { description: 'What has a deadline.' },
        ),
      ),
      interrupts: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String({ description: 'The vector or handler, e.g. "EXTI0_IRQHandler".' }),
              priority: Type.Optional(Type.Integer({ description: 'As the controller numbers it.' })),
              does: Type.Optional(Type.String({ description: 'What the handler does.' })),
            },
            { additionalProperties: false },
          ),
          { description: 'The handlers of the code.' },
        ),
      ),
      shared_state: Type.Optional(
        Type.Array(
          Type.Object(
            {
              name: Type.String({ description: 'The variable or register.' }),
              protection: Type.String({ description: 'volatile, atomic, critical section, queue …' }),
            },
            { additionalProperties: false },
          ),
          { description: 'What interrupts, tasks and the main loop share, and how it is protected.' },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  rules: (output) => [
    ...fileFindings(output),
    ...sourcesOf(output).flatMap((source) => [...leftovers(source), ...firmwareNotes(source)]),
  ],
};

function firmwareNotes(source: Source): DomainFinding[] {
  if (!isC(source)) return [];
  const code = blank(source.text, 'c');
  const handlers = handlersIn(code);
  const inHandlers = (pattern: RegExp) =>
    handlers.flatMap(({ from, to }) => placesOf(pattern, code.slice(from, to)).map((place) => from + place));
  return [
    ...noteAt(source, placesOf(heapCall, code), 'allocates from the heap'),
    ...(source.language === 'c'
      ? []
      : noteAt(source, placesOf(heapNew, code), 'new allocates from the heap')),
    ...noteAt(source, inHandlers(waiting), 'an interrupt handler waits'),
    ...noteAt(source, inHandlers(printing), 'an interrupt handler prints'),
    ...noteAt(source, unprotected(code, handlers), 'is set by an interrupt handler, and not volatile'),
  ];
}

const cLanguages = new Set(['c', 'cpp', 'c++', 'cc', 'h', 'hpp', 'arduino', 'ino']);

function isC({ language, text }: Source): boolean {
  return language === undefined ? /^[ \t]*#[ \t]*include[ \t]*[<"]/m.test(text) : cLanguages.has(language);
}

// Neither a method of that name nor a macro or function that is being defined.
const heapCall = /(?<![.>\w])(?<!#define )(?<!\*)(?:malloc|calloc|realloc|strdup)[ \t]*\(/g;
// Placement new has a parenthesis before its type.
const heapNew = /(?<![.>\w])new[ \t]+[A-Za-z_][\w:]*(?:<[^<>\n;]{0,80}>)?[ \t]*[([{;]/g;
const waiting =
  /(?<![.>\w])(?:delay|_delay_ms|HAL_Delay|vTaskDelay|osDelay|sleep|sleep_ms|usleep|k_sleep|k_msleep)[ \t]*\(/g;
const printing = /(?<![.>\w])(?:printf|Serial\.print(?:ln|f)?)[ \t]*\(/g;

/** The body of an interrupt handler, braces included. */
interface Body {
  readonly from: number;
  readonly to: number;
}

function handlersIn(code: string): Body[] {
  const head =
    /\bISR[ \t]*\([^(){};]{0,120}\)|_IRQHandler[ \t]*\([^(){};]{0,120}\)|\b(?:IRAM_ATTR|ICACHE_RAM_ATTR|__interrupt|__irq)\b[^(){};]{0,120}\([^(){};]{0,120}\)/g;
  const bodies: Body[] = [];
  for (let match = head.exec(code); match !== null; match = head.exec(code)) {
    const from = openingBrace(code, head.lastIndex);
    if (from < 0) continue;
    const to = closingBrace(code, from);
    bodies.push({ from, to });
    head.lastIndex = to;
  }
  return bodies;
}

function openingBrace(code: string, from: number): number {
  let at = from;
  while (at < code.length && /\s/.test(code[at]!)) at++;
  return code[at] === '{' ? at : -1;
}

function closingBrace(code: string, from: number): number {
  const brace = /[{}]/g;
  brace.lastIndex = from;
  let depth = 0;
  for (let match = brace.exec(code); match !== null; match = brace.exec(code)) {
    depth += match[0] === '{' ? 1 : -1;
    if (depth === 0) return brace.lastIndex;
  }
  return code.length;
}

/** File-scope scalars without `volatile` that a handler sets and that code outside of the handlers uses. */
function unprotected(code: string, handlers: readonly Body[]): number[] {
  const set = new Set(handlers.flatMap(({ from, to }) => namesSetIn(code.slice(from, to))));
  if (set.size === 0) return [];
  const scalar =
    /^(?:static[ \t]+)?(?:bool|char|int|long|float|unsigned(?:[ \t]+(?:int|char|long))?|u?int(?:8|16|32|64)_t|size_t)[ \t]+([A-Za-z_]\w*)[ \t]*(?:=[^;\n]{0,80})?;/gm;
  const declared = [...code.matchAll(scalar)].filter(([, name]) => set.has(name!));
  if (declared.length === 0) return [];
  const used = namesUsedOutside(code, handlers, new Set(declared.map(([, name]) => name!)));
  return declared.filter(([, name]) => used.has(name!)).map(({ index }) => index);
}

function namesSetIn(body: string): string[] {
  const assignment = /(?<![.>\w])([A-Za-z_]\w*)[ \t]*(?:=(?!=)|\+\+|--|(?:[-+|&^]|<<|>>)=)/g;
  return Array.from(body.matchAll(assignment), ([, name]) => name!);
}

/** Names with more than one mention, their declaration, outside of the handlers. */
function namesUsedOutside(code: string, handlers: readonly Body[], names: ReadonlySet<string>): Set<string> {
  const mentions = new Map<string, number>();
  let from = 0;
  for (const body of [...handlers, { from: code.length, to: code.length }]) {
    for (const [name] of code.slice(from, body.from).matchAll(/[A-Za-z_]\w*/g)) {
      if (names.has(name)) mentions.set(name, (mentions.get(name) ?? 0) + 1);
    }
    from = body.to;
  }
  return new Set([...mentions].filter(([, count]) => count > 1).map(([name]) => name));
}
