import Type from '../../contracts/typebox.js';
import { baseUrl } from './texts.js';

export const Traces = Type.Object(
  {
    endpoint: Type.Optional(
      baseUrl(
        'Base URL of a collector that takes OTLP over HTTP; spans go to `{endpoint}/v1/traces` as JSON. The variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) hold. Default: none, no trace is taken.',
      ),
    ),
    sample_ratio: Type.Number({
      default: 1,
      minimum: 0,
      maximum: 1,
      description:
        'Share of the traces that begin here which are taken, 0 to 1; a task that brings a `traceparent` follows its sampled flag.',
    }),
  },
  { additionalProperties: false, description: 'Traces (OpenTelemetry).' },
);
