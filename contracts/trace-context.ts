/** W3C Trace Context (Recommendation of 2021): who asked, so that what many services do for one task can be seen together. */
export interface TraceContext {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** The context of the headers; undefined when there is none, or none that is valid (3.2.2: it is passed over). */
export function traceContextOf(traceparent: string, tracestate: string): TraceContext | undefined {
  if (traceIdOf(traceparent) === undefined) return undefined;
  return TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent };
}

/** The id of the trace, 32 hexadecimal digits. */
export function traceIdOf(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined || traceparent === '') return undefined;
  return TRACEPARENT.exec(traceparent)?.[1];
}

/** The parts of a traceparent; undefined when it is not valid. */
export function spanContextOf({
  traceparent,
}: TraceContext): { traceId: string; spanId: string; traceFlags: number; isRemote: true } | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

/** A later version may append to it. */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x21-\x7e]{0,256})?$/;

/** Of a message it may hold anything; what is no header must not become one. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;
