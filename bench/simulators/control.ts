import { type Exchange, reply } from './http.js';
import { KnobError } from './knob-checks.js';
import type { StatsRecorder } from './stats.js';

/** The knobs in force, and the script of those for the next calls. */
export interface KnobPanel<Knobs> {
  readonly current: Knobs;
  /**
   * Merges.
   * @throws {KnobError} when a knob is unknown or its value is not allowed; nothing is then changed.
   */
  set(input: unknown): void;
  reset(): void;
  /** Takes the next entry of the script. */
  nextOfScript(): object | undefined;
}

/** Starts from `defaults`; `reset` goes back to them. */
export function knobPanel<Knobs extends { readonly script: readonly object[] }>(
  defaults: Knobs,
  merge: (base: Knobs, input: unknown) => Knobs,
): KnobPanel<Knobs> {
  let current = defaults;
  let position = 0;
  return {
    get current() {
      return current;
    },
    set(input) {
      const merged = merge(current, input);
      if (merged.script !== current.script) position = 0;
      current = merged;
    },
    reset() {
      current = defaults;
      position = 0;
    },
    nextOfScript: () => current.script[position++],
  };
}

/**
 * `/_simulator/knobs` and `/_simulator/stats`.
 * @param route without the `/api/v1` prefix.
 * @returns false when the route is not one of them.
 */
export function answerControl<Knobs>(
  exchange: Exchange,
  route: string,
  panel: KnobPanel<Knobs>,
  stats: StatsRecorder,
): boolean {
  switch (`${exchange.method} ${route}`) {
    case 'GET /_simulator/knobs':
      break;
    case 'PUT /_simulator/knobs': {
      const complaint = setKnobs(panel, exchange.body.toString());
      if (complaint !== undefined) {
        reply(
          exchange,
          400,
          JSON.stringify({ error: { message: complaint, type: 'invalid_knobs', code: null } }),
        );
        return true;
      }
      break;
    }
    case 'DELETE /_simulator/knobs':
      panel.reset();
      break;
    case 'GET /_simulator/stats':
      reply(exchange, 200, JSON.stringify(stats.snapshot()));
      return true;
    case 'DELETE /_simulator/stats':
      stats.reset();
      reply(exchange, 200, '{}');
      return true;
    default:
      return false;
  }
  reply(exchange, 200, JSON.stringify(panel.current));
  return true;
}

function setKnobs<Knobs>(panel: KnobPanel<Knobs>, text: string): string | undefined {
  try {
    panel.set(JSON.parse(text));
    return undefined;
  } catch (error) {
    if (error instanceof KnobError || error instanceof SyntaxError) return error.message;
    throw error;
  }
}
