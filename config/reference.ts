import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Type, { type TSchema } from '../contracts/typebox.js';
import { environmentVariables } from './environment.js';
import { expectation, fieldName } from './fields.js';
import { ConfigSchema } from './schema.js';
import { modelFamilies } from './sections/models.js';
import { defaultQueues } from './sections/queues.js';
import { defaultTierModels } from './sections/tier-models.js';
import { defaultTiers } from './sections/workers.js';

/** `docs/configuration.md`: every section, field, default and environment variable, made from the schema. */
export function configurationReference(): string {
  return [
    introduction,
    environmentReference(),
    ...Object.entries(ConfigSchema.properties).map(([name, schema]) => sectionReference(name, schema)),
  ].join('\n\n');
}

const introduction = `# Configuration

<!-- Made from config/schema.ts by \`node dist/config/reference.js\`. Do not edit. -->

The service reads one YAML file: \`--config PATH\`, else \`CONFIG_FILE\`, else \`config/worker-service.yaml\` of the
package. Every field is optional unless it says *required*; an empty file is a whole configuration. The
environment goes before the file, the file before the defaults.

Everything is checked at start. The service does not start with a configuration that is wrong, and names all
that is wrong in it at once. Unknown fields, duplicate keys, tags and aliases are errors; \`"5"\` is not a number.

The path of a file or a directory that is relative in the file of the configuration is taken from the root of the
package, one in the environment from the working directory of the process.`;

function environmentReference(): string {
  return `## Environment

An empty variable is unset. More of OpenTelemetry's own variables hold, see \`traces.endpoint\`.

${tableOf(
  ['Variable', 'Sets'],
  [
    ['`CONFIG_FILE`', 'the configuration file'],
    ...environmentVariables.map(({ name, field }) => [`\`${name}\``, `\`${fieldName(field)}\``]),
  ],
)}`;
}

function sectionReference(name: string, schema: TSchema): string {
  const entry = Type.IsRecord(schema) ? Type.RecordValue(schema) : schema;
  const heading = entry === schema ? name : `${name}.{name}`;
  const parts = [`## \`${heading}\``, descriptionOf(schema), fieldsOf(entry), defaultsOf(name)];
  return parts.filter((part) => part !== undefined).join('\n\n');
}

function fieldsOf(schema: TSchema): string {
  if (!Type.IsObject(schema)) throw new Error('a section without fields');
  return tableOf(
    ['Field', 'Value', 'Default', 'Meaning'],
    Object.entries(schema.properties).map(([name, field]) => [
      `\`${name}\``,
      expectation(field),
      defaultText(field),
      descriptionOf(field),
    ]),
  );
}

function defaultText(field: TSchema): string {
  const value = (field as { default?: unknown }).default;
  if (value !== undefined) return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
  return descriptionOf(field).includes('Default:') ? 'see right' : '*required*';
}

/** The defaults that go by name. */
function defaultsOf(section: string): string | undefined {
  switch (section) {
    case 'workers':
      return tableOf(
        ['Domain', 'Default tier'],
        [...defaultTiers].map(([domain, tier]) => [`\`${domain}\``, `\`${tier}\``]),
      );
    case 'tier_models':
      return tableOf(
        ['Tier', 'Model', 'Endpoint'],
        Object.entries(defaultTierModels).map(([tier, { model, endpoint }]) => [
          `\`${tier}\``,
          `\`${model}\``,
          `\`${endpoint}\``,
        ]),
      );
    case 'queues':
      return tableOf(
        ['Tier', 'Concurrency', 'Timeout in seconds', 'Nice'],
        [...defaultQueues].map(([tier, { concurrency, timeout, nice }]) => [
          `\`${tier}\``,
          String(concurrency),
          String(timeout),
          String(nice),
        ]),
      );
    case 'models':
      return `The family goes by the name of the model, without what stands before the last \`/\`, in either case.\n\n${tableOf(
        ['Name of the model', 'Window in tokens', 'Tokenizer', 'Exact'],
        modelFamilies.map(({ told, window, tokenizer, exact }) => [
          told,
          String(window),
          `\`${tokenizer}\``,
          `\`${exact}\``,
        ]),
      )}`;
    default:
      return undefined;
  }
}

function descriptionOf(schema: TSchema): string {
  const { description } = schema as { description?: string };
  if (description === undefined) throw new Error('a field without a description');
  return description;
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('../../docs/configuration.md', import.meta.url), `${configurationReference()}\n`);
}
