import { basicAuthorizationOf } from '../basic-authorization.js';
import { version } from '../version.js';

/** The path of a route. The base may be the address of the completions, as it is often written down. */
export function joinPath(base: URL, route: string): string {
  return `${base.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '')}/${route}`;
}

/** A key, else the user and password of the URL. */
export function authorizationOf(base: URL, key: string | undefined): string | undefined {
  return key === undefined ? basicAuthorizationOf(base) : `Bearer ${key}`;
}

/** What every request says; `endpoint` is the name of the one that is called, if any. */
export function headersOf(
  endpoint: string | undefined,
  authorization: string | undefined,
): Record<string, string> {
  return {
    accept: 'text/event-stream, application/json',
    'accept-encoding': 'identity',
    'user-agent': `worker-service/${version}`,
    ...(endpoint === undefined ? {} : { 'content-type': 'application/json', 'x-model-endpoint': endpoint }),
    ...(authorization === undefined ? {} : { authorization }),
  };
}
