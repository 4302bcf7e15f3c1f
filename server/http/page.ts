import { readFileSync } from 'node:fs';
import type { Reply } from './reply.js';

/** The files of the live page, by their route. They hold nothing of any task: what they show comes from `/live`. */
export function pageFiles(): ReadonlyMap<string, Reply> {
  const file = (name: string, contentType: string): Reply => ({
    status: 200,
    contentType: `${contentType}; charset=utf-8`,
    headers: {
      'content-security-policy': policy,
      'cache-control': 'no-cache',
      'referrer-policy': 'no-referrer',
    },
    body: readFileSync(new URL(`page/${name}`, import.meta.url)),
  });
  return new Map([
    ['/', file('index.html', 'text/html')],
    ['/page.css', file('page.css', 'text/css')],
    ['/page.js', file('page.js', 'text/javascript')],
  ]);
}

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
