import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/schema.js';
import type { Template } from '../contracts/threads.js';
import { checkTemplate, packTemplate } from '../pool/template.js';
import type { Log } from './log.js';
import { pollFile } from './polled-file.js';

/** The prompt templates of all domains, as they are now. */
export interface Templates {
  of(domain: string): Template;
  close(): void;
}

/**
 * Reads every domain's template, and reads it again when it changes. A template that became broken is not
 * taken: the one before stays, and the log says why.
 * @throws {Error} when a template is missing or broken at start.
 */
export function openTemplates(config: Config, log: Log): Templates {
  const templates = new Map<string, Template>();
  const polled: { close(): void }[] = [];
  for (const [domain, { prompt_template }] of Object.entries(config.workers)) {
    const file = join(config.prompts.directory, prompt_template);
    templates.set(domain, readTemplate(file, prompt_template));
    if (!config.prompts.reload) continue;
    const reread = () => {
      const template = readTemplate(file, prompt_template);
      if (template.sha256 === templates.get(domain)!.sha256) return;
      templates.set(domain, template);
      log.info({ event: 'template_reloaded', template: template.name, sha256: template.sha256 });
    };
    const broken = ({ message }: Error) =>
      log.error({ event: 'template_broken', template: prompt_template, error: message });
    polled.push(pollFile(file, reread, broken));
  }
  return {
    of: (domain) => templates.get(domain)!,
    close: () => {
      for (const each of polled) each.close();
    },
  };
}

function textOf(file: string): string {
  const bytes = readFileSync(file);
  if (!isUtf8(bytes)) throw new Error(`${file}: must be UTF-8`);
  return bytes.toString();
}

/** @throws {Error} when it is missing or broken. */
export function readTemplate(file: string, name: string): Template {
  const text = textOf(file);
  const parts = /^<!-- system -->[ \t]*\r?\n([\s\S]*?)^<!-- user -->[ \t]*\r?\n([\s\S]*)$/m.exec(text);
  if (parts === null)
    throw new Error(`${file}: must have a part <!-- system --> and after it a part <!-- user -->`);
  const system = parts[1]!.trim();
  const user = parts[2]!.trim();
  try {
    checkTemplate(system, user);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
  return packTemplate(name, createHash('sha256').update(text).digest('hex'), system, user);
}
