import { hostname } from 'node:os';
import {
  type Attributes,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Config } from '../../config/schema.js';
import { spanContextOf, type TraceContext } from '../../contracts/trace-context.js';
import type { Log } from '../log.js';
import { version } from '../version.js';
import { callAttributes, callResult, taskAttributes, taskResult } from './attributes.js';
import type { CallTrace, StageTrace, TaskTrace, Tracing } from './tracing.js';

/**
 * Sends spans by OTLP over HTTP (OpenTelemetry Protocol 1.x, JSON) to `{traces.endpoint}/v1/traces`. The variables of
 * OpenTelemetry for headers, compression, certificates, service name and resource attributes hold.
 */
export function openTelemetry(
  config: Config,
  endpoint: string,
  gatewayUrl: string | undefined,
  log: Log,
): Tracing {
  diag.setLogger(toLog(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const own = resourceFromAttributes({
    'service.name': 'worker-service',
    'service.version': version,
    'service.instance.id': `${hostname()}-${process.pid}`,
  });
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const provider = new TracerProvider({
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.traces.sample_ratio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxExportBatchSize: BATCH_SPANS,
        maxQueueSize: QUEUE_SPANS,
        scheduledDelayMillis: BATCH_DELAY_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  const tracer = provider.getTracer('worker-service', version);
  const endpoints: Endpoints = new Map(
    Object.entries(config.endpoints).flatMap(([name, { url = gatewayUrl, protocol, stream }]) =>
      url === undefined ? [] : [[name, { url: new URL(url), protocol, stream }]],
    ),
  );
  return {
    begin: (task, from, origin) => {
      const kind = from === 'http' ? SpanKind.SERVER : SpanKind.CONSUMER;
      const parent = origin === undefined ? undefined : spanContextOf(origin);
      const under = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
      const attributes = taskAttributes(task, from);
      const startTime = Date.now();
      const epochMs = startTime - performance.now();
      const span = tracer.startSpan(`execute ${task.task.domain}`, { kind, attributes, startTime }, under);
      if (!span.isRecording()) return untold(contextOf(span, origin?.tracestate));
      return new SpannedTask(tracer, span, origin?.tracestate, endpoints, epochMs);
    },
    // A collector that does not answer must not hold up the stop.
    close: () => Promise.race([provider.shutdown().catch(() => {}), passed(LAST_EXPORT_MS)]),
  };
}

/** Milliseconds; a batch is small, so that to write it down never holds up the event loop. */
const EXPORT_TIMEOUT_MS = 5_000;
const LAST_EXPORT_MS = 2_000;
const BATCH_DELAY_MS = 1_000;
const BATCH_SPANS = 128;
const QUEUE_SPANS = 4_096;

type Endpoints = ReadonlyMap<string, Parameters<typeof callAttributes>[1]>;

class SpannedTask implements TaskTrace {
  readonly context: TraceContext;
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #tracestate: string | undefined;
  readonly #endpoints: Endpoints;
  /**
   * From `performance.now()` to the time of day, once for all spans of the task: OpenTelemetry takes the difference anew
   * for each span, and one that ends with its parent would end after it.
   */
  readonly #epochMs: number;

  constructor(
    tracer: Tracer,
    span: Span,
    tracestate: string | undefined,
    endpoints: Endpoints,
    epochMs: number,
  ) {
    this.#epochMs = epochMs;
    this.#tracer = tracer;
    this.#span = span;
    this.#tracestate = tracestate;
    this.#endpoints = endpoints;
    this.context = this.#contextOf(span);
  }

  begin(stage: string): StageTrace {
    const span = this.#start(this.#span, stage, performance.now());
    return { context: this.#contextOf(span), end: () => span.end(this.#timeOf(performance.now())) };
  }

  beginCall(call: Parameters<TaskTrace['beginCall']>[0]): CallTrace {
    const startedAt = performance.now();
    const attributes = callAttributes(call, this.#endpoints.get(call.endpoint)!);
    const span = this.#start(this.#span, `chat ${call.model}`, startedAt, SpanKind.CLIENT, attributes);
    return {
      context: this.#contextOf(span),
      end: (attempt, firstTokenAt, lastByteAt) => {
        const now = performance.now();
        const last = lastByteAt ?? now;
        const first = firstTokenAt ?? last;
        this.#start(span, 'first token', startedAt).end(this.#timeOf(first));
        if (firstTokenAt !== undefined) this.#start(span, 'stream', first).end(this.#timeOf(last));
        if (lastByteAt !== undefined) this.#start(this.#span, 'validate', last).end(this.#timeOf(now));
        finish(span, callResult(attempt), this.#timeOf(last));
      },
    };
  }

  end(executed: Parameters<TaskTrace['end']>[0]): void {
    finish(this.#span, taskResult(executed), this.#timeOf(performance.now()));
  }

  /** Milliseconds since the epoch. */
  #timeOf(at: number): number {
    return at + this.#epochMs;
  }

  #start(parent: Span, name: string, at: number, kind = SpanKind.INTERNAL, attributes?: Attributes) {
    const startTime = this.#timeOf(at);
    const options = { kind, startTime, ...(attributes !== undefined && { attributes }) };
    return this.#tracer.startSpan(name, options, trace.setSpan(ROOT_CONTEXT, parent));
  }

  #contextOf(span: Span): TraceContext {
    return contextOf(span, this.#tracestate);
  }
}

/** A trace that is not sampled: its context is passed on, and nothing is taken down. */
function untold(context: TraceContext): TaskTrace {
  const nothing = { context, end: () => {} };
  return { ...nothing, begin: () => nothing, beginCall: () => nothing };
}

function contextOf(span: Span, tracestate: string | undefined): TraceContext {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

function finish(span: Span, attributes: Attributes, at: number): void {
  span.setAttributes(attributes);
  if (attributes['error.type'] !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(at);
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** What OpenTelemetry has to say is of the exports: they fail and are dropped. */
function toLog(log: Log) {
  const warn = (message: string) => log.warn({ event: 'traces', detail: message.slice(0, 500) });
  return { error: warn, warn, info: () => {}, debug: () => {}, verbose: () => {} };
}
