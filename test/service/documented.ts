import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';
import { packageRoot } from '../../config/package-root.js';
import type { Answer } from './at-service.js';

// biome-ignore lint/suspicious/noExplicitAny: the document is read as anybody reads it, without its types
type Json = any;

export interface Operation {
  readonly path: string;
  readonly method: 'GET' | 'POST' | 'DELETE' | 'PUT';
}

/** contracts/openapi.yaml, as a stranger to the code reads it: JSON Schema 2020-12, checked by Ajv. */
export class OpenApi {
  readonly document: Json = parse(readFileSync(new URL('contracts/openapi.yaml', packageRoot), 'utf8'));
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor() {
    formats.default(this.#ajv);
    this.#ajv.addSchema(this.document, 'openapi');
  }

  get operations(): Operation[] {
    return Object.keys(this.document.paths).flatMap((path) =>
      (['GET', 'POST', 'DELETE', 'PUT'] as const)
        .filter((method) => this.document.paths[path][method.toLowerCase()] !== undefined)
        .map((method) => ({ path, method })),
    );
  }

  /** Whether a value has the schema of a component. */
  isA(component: string, value: unknown): boolean {
    return this.#validator('components', 'schemas', component)(value) as boolean;
  }

  /** What the document does not say of an answer; empty when it says all of it. */
  faults({ path, method }: Operation, answer: Answer): string[] {
    const place = ['paths', path, method.toLowerCase(), 'responses', String(answer.status)];
    const response = this.#at(place);
    if (response === undefined) return [`the status ${answer.status} is not documented`];
    const type = String(answer.headers['content-type']).split(';')[0]!;
    if (response.content[type] === undefined) return [`the content type ${type} is not documented`];
    const body = answer.body ?? answer.text;
    return [
      ...this.#violations(body, ...place, 'content', type, 'schema'),
      ...Object.entries<Json>(response.headers ?? {}).flatMap(([name, header]) => {
        const value = answer.headers[name.toLowerCase()];
        if (value === undefined) return header.required === true ? [`the header ${name} is missing`] : [];
        const read = header.schema.type === 'integer' ? Number(value) : value;
        return this.#violations(read, ...place, 'headers', name, 'schema');
      }),
      ...(type === 'text/event-stream' ? this.#faultsOfEvents(answer.text) : []),
    ];
  }

  /** The description of `POST /execute` has the events in a table; the last one is the outcome. */
  #faultsOfEvents(text: string): string[] {
    const events = [...text.matchAll(/^event: (\S+)\ndata: (.*)$/gm)];
    const [, name, data] = events.at(-1) ?? [];
    if (name !== 'completed' && name !== 'failed') return [`the last event is ${name}`];
    const component = name === 'completed' ? 'Completed' : 'Problem';
    return this.#violations(JSON.parse(data!), 'components', 'schemas', component);
  }

  #violations(value: unknown, ...place: string[]): string[] {
    const validator = this.#validator(...place);
    if (validator(value)) return [];
    return validator.errors!.map(
      ({ instancePath, message }) => `${place.at(-2)} ${instancePath || 'as a whole'} ${message}`,
    );
  }

  #validator(...place: string[]): ValidateFunction {
    const pointer = place.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')));
    return this.#ajv.getSchema(`openapi#/${pointer.join('/')}`)!;
  }

  #at(place: readonly string[]): Json {
    return place.reduce((value, part) => value?.[part], this.document);
  }
}
