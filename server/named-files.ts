import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Problem } from '../config/error.js';
import { fieldName } from '../config/fields.js';
import type { Config } from '../config/schema.js';
import {
  readFileDescription,
  VOCABULARY_DIRECTORY,
  vocabularyFile,
} from '../pool/tokenizers/vocabulary-file.js';
import { readTemplate } from './templates.js';
import { readTokenFile } from './tokens/token-file.js';

/** All that is wrong with the files that a configuration names, each under its field. No secret is in it. */
export function namedFileProblems(config: Config, vocabularies: string = VOCABULARY_DIRECTORY): Problem[] {
  return [
    ...tokenFileProblems(config.server),
    ...tlsProblems('server', config.server),
    ...(config.rabbitmq.host === undefined ? [] : tlsProblems('rabbitmq', config.rabbitmq)),
    ...templateProblems(config),
    ...vocabularyProblems(config, vocabularies),
    ...documentProblems(config),
  ];
}

function tokenFileProblems({ tokens_file: file }: Config['server']): Problem[] {
  if (file === undefined) return [];
  return problemOf(['server', 'tokens_file'], file, 'a file of tokens', () => readTokenFile(file));
}

interface TlsFiles {
  readonly tls_ca_file?: string;
  readonly tls_cert_file?: string;
  readonly tls_key_file?: string;
}

function tlsProblems(
  section: 'server' | 'rabbitmq',
  { tls_ca_file: ca, tls_cert_file: cert, tls_key_file: key }: TlsFiles,
): Problem[] {
  const check = (field: keyof TlsFiles, file: string | undefined, expected: string, use: () => unknown) =>
    file === undefined ? [] : problemOf([section, field], file, expected, use);
  const problems = [
    ...check('tls_ca_file', ca, 'certificates in PEM', () => new X509Certificate(readFileSync(ca!))),
    ...check('tls_cert_file', cert, 'a certificate chain in PEM', () =>
      createSecureContext({ cert: readFileSync(cert!) }),
    ),
    ...check('tls_key_file', key, 'a private key in PEM', () =>
      createSecureContext({ key: readFileSync(key!) }),
    ),
  ];
  if (problems.length > 0 || cert === undefined) return problems;
  return check('tls_key_file', key, `the key of ${cert}`, () =>
    createSecureContext({ cert: readFileSync(cert), key: readFileSync(key!) }),
  );
}

function templateProblems({ prompts: { directory }, workers }: Config): Problem[] {
  const missing = directoryProblem(['prompts', 'directory'], directory);
  if (missing.length > 0) return missing;
  return Object.entries(workers).flatMap(([domain, { prompt_template }]) => {
    const file = join(directory, prompt_template);
    return problemOf(['workers', domain, 'prompt_template'], file, 'a prompt template', () =>
      readTemplate(file, prompt_template),
    );
  });
}

function vocabularyProblems({ tier_models, models }: Config, directory: string): Problem[] {
  const used = new Set(Object.values(tier_models).map(({ model }) => model));
  return [...used].flatMap((model) => {
    const { tokenizer } = models[model]!;
    const file = vocabularyFile(tokenizer, directory);
    if (readFileDescription(file) !== undefined) return [];
    return {
      path: fieldName(['models', model, 'tokenizer']),
      found: `${tokenizer}, whose file ${file} is missing or stale`,
      expected: 'a vocabulary that `node dist/pool/tokenizers/compile.js` has compiled',
    };
  });
}

/** Only the embedded retriever reads them. */
function documentProblems({ rag, embedded }: Config): Problem[] {
  return rag.url === undefined ? directoryProblem(['embedded', 'documents'], embedded.documents) : [];
}

function directoryProblem(keys: readonly string[], directory: string): Problem[] {
  return problemOf(keys, directory, 'a directory', () => readdirSync(directory));
}

function problemOf(keys: readonly string[], file: string, expected: string, use: () => unknown): Problem[] {
  try {
    use();
    return [];
  } catch (error) {
    const { message } = error as Error;
    const found = message.includes(file) ? message : `${file} (${message})`;
    return [{ path: fieldName(keys), found, expected: `${expected} that can be read` }];
  }
}
