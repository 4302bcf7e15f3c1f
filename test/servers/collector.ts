import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as OTLP writes it in JSON (opentelemetry-proto, trace.proto), attributes as a plain object. */
export interface CollectedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly failed: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: an attribute has one of several types
  readonly attributes: Record<string, any>;
  // biome-ignore lint/suspicious/noExplicitAny: an attribute has one of several types
  readonly resource: Record<string, any>;
}

export interface Collector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  /** All that came, as it came. */
  readonly bodies: string[];
  readonly headers: NodeJS.Dict<string | string[]>[];
  close(): Promise<void>;
}

/** A collector of traces that takes OTLP over HTTP in JSON. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const bodies: string[] = [];
  const headers: NodeJS.Dict<string | string[]>[] = [];
  const server = createServer(async (req, res) => {
    const parts: Buffer[] = [];
    for await (const part of req) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    bodies.push(body);
    headers.push(req.headers);
    if (req.url === '/v1/traces') spans.push(...spansOf(JSON.parse(body)));
    res.writeHead(req.url === '/v1/traces' ? 200 : 404, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    headers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: what the test asserts is whether it has its shape
function spansOf({ resourceSpans }: any): CollectedSpan[] {
  const spans: CollectedSpan[] = [];
  for (const { resource, scopeSpans } of resourceSpans)
    for (const { spans: found } of scopeSpans)
      for (const span of found)
        spans.push({
          name: span.name,
          kind: span.kind,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId || undefined,
          startNs: BigInt(span.startTimeUnixNano),
          endNs: BigInt(span.endTimeUnixNano),
          failed: span.status?.code === 2,
          attributes: attributesOf(span.attributes),
          resource: attributesOf(resource.attributes),
        });
  return spans;
}

// biome-ignore lint/suspicious/noExplicitAny: see above
function attributesOf(list: any[]): Record<string, any> {
  return Object.fromEntries(list.map(({ key, value }) => [key, plainOf(value)]));
}

// biome-ignore lint/suspicious/noExplicitAny: see above
function plainOf(value: any): unknown {
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(plainOf);
  if (value.intValue !== undefined) return Number(value.intValue);
  return value.stringValue ?? value.doubleValue ?? value.boolValue;
}
