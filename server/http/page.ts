import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { builtFile } from '../../config/package-root.js';
import type { Reply } from './reply.js';

const require = createRequire(import.meta.url);
const own = (path: string) => builtFile(`server/http/${path}`);

/** The files of the live page, by their route. They hold nothing of any task: what they show comes from `/live`. */
export const pageFiles: ReadonlyMap<string, () => Reply> = new Map([
  ['/', once(own('page/index.html'), 'text/html')],
  ['/page.css', once(own('page/page.css'), 'text/css')],
  ['/page.js', once(own('page/page.js'), 'text/javascript')],
]);

/** The viewer of the OpenAPI document, by its routes. */
export const docsFiles: ReadonlyMap<string, () => Reply> = new Map([
  ['/docs', once(own('docs/index.html'), 'text/html')],
  ['/docs/docs.css', once(own('docs/docs.css'), 'text/css')],
  ['/docs/docs.js', once(own('docs/docs.js'), 'text/javascript')],
  ['/docs/swagger-ui.css', once('swagger-ui-dist/swagger-ui.css', 'text/css')],
  ['/docs/swagger-ui-bundle.js', once('swagger-ui-dist/swagger-ui-bundle.js', 'text/javascript')],
]);

/** Nothing but what the service itself serves may run or be asked. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A file, read when it is first asked for: the viewer is large, and most services never show it. */
function once(file: URL | string, contentType: string): () => Reply {
  let reply: Reply | undefined;
  return () => {
    reply ??= {
      status: 200,
      contentType: `${contentType}; charset=utf-8`,
      headers: {
        'content-security-policy': policy,
        'cache-control': 'no-cache',
        'referrer-policy': 'no-referrer',
      },
      body: readFileSync(typeof file === 'string' ? require.resolve(file) : file),
    };
    return reply;
  };
}
