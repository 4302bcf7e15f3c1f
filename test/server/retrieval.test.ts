import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import { freePort } from '../../bench/servers/processes.js';
import { loadConfig } from '../../config/load.js';
import type { TaskBody } from '../../contracts/task.js';
import type { MeasureJob, RetrievedContext } from '../../contracts/threads.js';
import { domainNames } from '../../domains/registry.js';
import { unpackText } from '../../pool/large-text.js';
import { openPools, type Pools } from '../../pool/pools.js';
import { Deadline } from '../../server/deadline.js';
import type { ExecutionParts } from '../../server/execution-parts.js';
import type { Log } from '../../server/log.js';
import { openRag } from '../../server/rag.js';
import type { RagQuery } from '../../server/rag-service.js';
import { targetOf } from '../../server/resolution.js';
import { retrieveContext } from '../../server/retrieval.js';
import { openTemplates, type Templates } from '../../server/templates.js';

const test = suite('retrieval of context');
const config = loadConfig({ env: {}, argv: [], domains: domainNames });
const query: RagQuery = { query: 'q', domain: 'code-general', projectId: undefined, maxTokens: 10 };
const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;
let pools: Pools;
let templates: Templates;

test.before(async () => {
  pools = await openPools(config);
  templates = openTemplates(config, log);
});
test.after(async () => {
  templates.close();
  await pools.close();
});

/** What the RAG service is asked for, and how often a thread was asked before. */
async function asked(task: TaskBody, tier: string): Promise<{ maxTokens: number; measured: number }> {
  let maxTokens = 0;
  let measured = 0;
  const parts = {
    config,
    templates,
    pools: {
      tier: (name: string) => ({
        measure: (job: MeasureJob) => {
          measured++;
          return pools.tier(name).measure(job);
        },
      }),
    },
    rag: {
      retrieve: async (query: RagQuery) => {
        maxTokens = query.maxTokens;
        return { text: '', sources: [] };
      },
    },
  } as unknown as ExecutionParts;
  const deadline = new Deadline(5000);
  const resolved = { task, context: undefined, requestHash: 'h', tier, artifactId: 'a' };
  await retrieveContext(parts, resolved, tier, deadline, undefined);
  deadline.clear();
  return { maxTokens, measured };
}

test('as many tokens are asked for as the window leaves, for a task of any length', async () => {
  for (const tier of ['tiny', 'coding']) {
    const letters = ['word ', '<task>', '語', 'é', '🙂', '\n'];
    for (const [n, length] of [10, 500, 2_000, 10_000, 30_000, 60_000].entries()) {
      const task: TaskBody = {
        task_id: 't-1',
        domain: 'code-general',
        description: 'Do this. '.repeat(4),
        acceptance_criteria: ['it works', 'it is short'],
        inputs: [{ content: letters[n]!.repeat(length / letters[n]!.length), path: 'a.txt' }],
      };
      const room = await pools.tier(tier).measure({
        task,
        provided: undefined,
        tier,
        target: targetOf(config, tier, task),
        template: templates.of(task.domain),
      });
      const { maxTokens } = await asked(task, tier);
      assert.equal(maxTokens, Math.min(room, config.rag.max_context_tokens), `${tier}, ${length} characters`);
    }
  }
});

test('a short task costs no trip to a thread', async () => {
  const task: TaskBody = { task_id: 't-1', domain: 'ui-design', description: 'A form to log in.' };
  assert.deepEqual(await asked(task, 'small'), { maxTokens: 8192, measured: 0 });
});

test('a score that is no finite number is left out', async () => {
  const answer = '{"context": "c", "sources": [{"artifact_id": "a", "relevance_score": 1e999}]}';
  assert.deepEqual(await retrievedFrom(answer), { text: 'c', sources: [{ artifact_id: 'a' }] });
});

test('what an answer lists that is no source is left out', async () => {
  const sources = [null, 'a', 7, {}, { artifact_id: 7 }, { artifact_id: 'b', relevance_score: '0.5' }];
  assert.deepEqual(await retrievedFrom(JSON.stringify({ context: 'c', sources })), {
    text: 'c',
    sources: [{ artifact_id: 'b' }],
  });
  assert.deepEqual(await retrievedFrom(JSON.stringify({ context: 'c', sources: {} })), {
    text: 'c',
    sources: [],
  });
});

test('half of a surrogate pair in what is retrieved is replaced', async () => {
  const answer = String.raw`{"context": "c \ud83d", "sources": [{"artifact_id": "\ude00"}]}`;
  assert.deepEqual(await retrievedFrom(answer), {
    text: 'c \ufffd',
    sources: [{ artifact_id: '\ufffd' }],
  });
});

test('an answer that lists sources without end, or of endless names, is taken with some of them', async () => {
  const sources = Array.from({ length: 100_000 }, (_, at) => ({ artifact_id: `a${at}` }));
  sources[0] = { artifact_id: 'a'.repeat(1_000_000) };
  const retrieved = (await retrievedFrom(JSON.stringify({ context: 'text', sources }))) as RetrievedContext;
  assert.equal(retrieved.text, 'text');
  assert.equal(retrieved.sources[0]?.artifact_id, 'a1');
  assert.ok(JSON.stringify(retrieved).length < 100_000);
});

test('a large answer is parsed in a thread, a small one where it arrives', async () => {
  let jobs = 0;
  const parser: Pick<Pools, 'parseContext'> = {
    parseContext: (job) => {
      jobs++;
      return pools.parseContext(job);
    },
  };
  const sources = [{ artifact_id: 'a', relevance_score: 0.5 }];
  const context = 'line é\n'.repeat(100_000);
  const atLoop = longestParsed();
  const large = (await retrievedFrom(JSON.stringify({ context, sources }), parser)) as RetrievedContext;
  const small = await retrievedFrom(JSON.stringify({ context: 'text', sources }), parser);
  assert.ok(atLoop() < 16_384);
  assert.equal(jobs, 1);
  assert.equal(unpackText(large.text), context);
  assert.ok(large.text instanceof SharedArrayBuffer);
  assert.deepEqual(large.sources, sources);
  assert.deepEqual(small, { text: 'text', sources });
});

test('a thread that is busy is waited for no longer than one query may take', async () => {
  const busy = { parseContext: () => new Promise<never>(() => {}) };
  const large = JSON.stringify({ context: 'x'.repeat(20_000) });
  const impatient = { ...config, rag: { ...config.rag, timeout_ms: 300, retries: 0 } };
  assert.deepEqual(await retrievedFrom(large, busy, impatient), {
    degraded: 'the RAG service did not answer within 300 ms',
  });
});

test('one that hangs is asked by one query at a time, and by all when it answers again', async () => {
  let asked = 0;
  let hangs = true;
  let hours = 0;
  const { now } = Date;
  Date.now = () => now() + hours * 3_600_000;
  const service = createServer((_req, res) => {
    asked++;
    if (!hangs) res.end('{"context": "c", "sources": []}');
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const settings = { timeout_ms: 300, retries: 0, breaker_failures: 3, breaker_open_ms: 3_600_000 };
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const rag = openRag({ ...config, rag: { ...config.rag, ...settings } }, url, pools);
  const deadline = new Deadline(60_000);
  let queries = 0;
  const ask = () => rag.retrieve({ ...query, query: `q${queries++}` }, deadline, undefined);
  const late = { degraded: 'the RAG service did not answer within 300 ms' };
  const spared = { degraded: 'the RAG service answers nothing, and was not asked' };

  assert.deepEqual([await ask(), await ask()], [late, late]);
  assert.equal(rag.hangsSince, undefined);
  assert.deepEqual(await ask(), late);
  const { hangsSince } = rag;
  assert.ok(hangsSince! <= Date.now());
  assert.deepEqual([await ask(), await ask(), asked], [spared, spared, 3]);

  // Whoever tries waits, the others do not.
  hours++;
  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), [late, spared, spared]);
  assert.deepEqual([await ask(), asked], [spared, 4]);
  assert.equal(rag.hangsSince, hangsSince);

  hangs = false;
  hours++;
  const found = { text: 'c', sources: [] };
  assert.deepEqual([await ask(), await ask(), await ask()], [found, found, found]);
  assert.equal(rag.hangsSince, undefined);
  assert.deepEqual(rag.counts, { hit: 0, joined: 0, answered: 3, failed: 4, not_asked: 5 });
  Date.now = now;
  deadline.clear();
  await rag.close();
  service.closeAllConnections();
  service.close();
});

test('a service that fails at once is asked each time', async () => {
  let asked = 0;
  const service = createServer((_req, res) => {
    asked++;
    res.writeHead(500).end();
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const settings = { ...config.rag, retries: 0, breaker_failures: 1 };
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const rag = openRag({ ...config, rag: settings }, url, pools);
  const deadline = new Deadline(60_000);
  for (let times = 1; times <= 3; times++) {
    const answer = await rag.retrieve(query, deadline, undefined);
    assert.deepEqual([answer, asked], [{ degraded: 'the RAG service answered 500' }, times]);
  }
  deadline.clear();
  await rag.close();
  service.close();
});

test('a service that is not there is told from one that answers wrongly', async () => {
  const rag = openRag(config, `http://127.0.0.1:${await freePort()}`, pools);
  const deadline = new Deadline(5000);
  const query = { query: 'q', domain: 'code-general', projectId: undefined, maxTokens: 10 };
  assert.deepEqual(await rag.retrieve(query, deadline, undefined), {
    degraded: 'the RAG service did not answer: ECONNREFUSED',
  });
  deadline.clear();
  await rag.close();
});

test('an answer that is not JSON, or has no context, is no context, however large it is', async () => {
  for (const padding of ['', ' '.repeat(20_000)]) {
    const noJson = await retrievedFrom(`{"context": "secret${padding}`);
    assert.deepEqual(noJson, { degraded: 'the RAG service answered what is not JSON' });
    const noContext = await retrievedFrom(`{"sources": []}${padding}`);
    assert.deepEqual(noContext, { degraded: 'the RAG service answered without a context' });
    assert.deepEqual(await retrievedFrom(`null${padding}`), noContext);
    assert.deepEqual(await retrievedFrom(`{"context": "\\n${padding}"}`), { text: '', sources: [] });
  }
});

test('user and password of the URL are sent with a question and with a probe', async () => {
  const heard: [url: string, authorization: string | undefined][] = [];
  const service = createServer(({ url, headers }, res) => {
    heard.push([url!, headers.authorization]);
    res.end('{"context": "c", "sources": []}');
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const { port } = service.address() as AddressInfo;
  const rag = openRag(config, `http://me:s%40cret@127.0.0.1:${port}/v1/`, pools);
  const deadline = new Deadline(5000);
  await rag.retrieve(query, deadline, undefined);
  await rag.probe(new AbortController().signal);
  deadline.clear();
  await rag.close();
  service.close();
  const authorization = `Basic ${Buffer.from('me:s@cret').toString('base64')}`;
  assert.deepEqual(heard, [
    ['/v1/query', authorization],
    ['/v1/health', authorization],
  ]);
});

test.run();

/** Watches what this thread parses until it is asked for the longest text, in characters. */
function longestParsed(): () => number {
  const { parse } = JSON;
  let longest = 0;
  JSON.parse = (text: string, ...rest: []) => {
    longest = Math.max(longest, text.length);
    return parse(text, ...rest);
  };
  return () => {
    JSON.parse = parse;
    return longest;
  };
}

async function retrievedFrom(
  answer: string,
  parser: Pick<Pools, 'parseContext'> = pools,
  settings = config,
): Promise<unknown> {
  const service = createServer((_req, res) => res.end(answer));
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const rag = openRag(settings, `http://127.0.0.1:${(service.address() as AddressInfo).port}`, parser);
  const deadline = new Deadline(5000);
  const retrieved = await rag.retrieve(query, deadline, undefined);
  deadline.clear();
  await rag.close();
  service.close();
  return retrieved;
}
