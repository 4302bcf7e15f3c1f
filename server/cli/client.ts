import { createParser } from 'eventsource-parser';
import { type Dispatcher, request } from 'undici';

/** Where the service is, and what it asks for. */
export interface Target {
  readonly url: string;
  readonly token: string | undefined;
}

/** The service cannot be reached; nothing is known of what it did. */
export class Unreachable extends Error {}

/** An answer of the service that is no success. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(`${code}: ${detail}`);
  }
}

/**
 * `GET` or `DELETE`; resolves to the JSON of the answer.
 * @throws Unreachable, Refused
 */
export async function ask(target: Target, method: 'GET' | 'DELETE', path: string): Promise<unknown> {
  const { statusCode, body } = await send(target, path, { method });
  const text = await body.text();
  if (statusCode >= 400) throw refusalOf(statusCode, text);
  return JSON.parse(text);
}

/**
 * Executes a task and calls back for each of its events.
 * @throws Unreachable, Refused
 */
export async function execute(
  target: Target,
  task: object,
  on: (event: string, data: Record<string, unknown>) => void,
): Promise<void> {
  const { statusCode, headers, body } = await send(target, '/execute', {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify(task),
  });
  if (!String(headers['content-type']).startsWith('text/event-stream'))
    throw refusalOf(statusCode, await body.text());
  let ended = false;
  let fault: Error | undefined;
  const parser = createParser({
    onEvent: ({ event = 'message', data }) => {
      ended ||= event === 'completed' || event === 'failed';
      try {
        on(event, JSON.parse(data) as Record<string, unknown>);
      } catch (error) {
        fault ??= error as Error;
      }
    },
  });
  const decoder = new TextDecoder();
  try {
    for await (const chunk of body) parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
  } catch (error) {
    throw new Unreachable(`the connection broke: ${(error as Error).message}`);
  }
  if (fault !== undefined) throw fault;
  if (!ended)
    throw new Unreachable('the stream ended before the task did; ask `tasks get` what became of it');
}

async function send(
  { url, token }: Target,
  path: string,
  options: Pick<Dispatcher.RequestOptions, 'method' | 'body'> & { headers?: Record<string, string> },
): Promise<Dispatcher.ResponseData> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const headers = { ...options.headers, ...authorization };
  if (!/^https?:\/\//i.test(url)) throw new Error(`${url} is no http or https URL`);
  try {
    return await request(`${url.replace(/\/+$/, '')}${path}`, {
      ...options,
      headers,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Unreachable(`${url} cannot be reached: ${code ?? message}`);
  }
}

function refusalOf(status: number, text: string): Refused {
  try {
    const { code, detail, title } = JSON.parse(text) as Record<string, string>;
    return new Refused(status, code ?? String(status), detail ?? title ?? '');
  } catch {
    return new Refused(status, String(status), text.slice(0, 200));
  }
}
