import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { aConfig, domains, errorOf, pathsOf, problemsOf } from './a-config.js';

test('all that is wrong is listed at once, each with its path, value and what was expected', () => {
  const error = errorOf(() =>
    aConfig(
      `
server: {port: 70000, host: null}
queues: {small: {concurrency: "5"}, huge: {}}
workers: {code-general: {default_tier: nope}}
log: {level: loud}
`,
      { SERVICE_PORT: 'abc' },
    ),
  );
  assert.equal(
    error?.problems.map(({ path, found, expected }) => [path, found, expected]),
    [
      ['server.host', 'null', 'an IP address or a host name'],
      ['server.port', '70000', 'an integer from 0 to 65535'],
      ['queues.small.concurrency', '"5"', 'an integer from 1 to 10000'],
      ['log.level', '"loud"', 'one of trace, debug, info, warn, error, fatal, silent'],
      [
        'workers.code-general.default_tier',
        '"nope"',
        'a tier of tier_models (tiny, small, large, coding, frontier)',
      ],
      ['queues.huge', 'an unknown tier', 'a tier of tier_models (tiny, small, large, coding, frontier)'],
      ['SERVICE_PORT', '"abc"', 'an integer from 0 to 65535'],
    ],
  );
  for (const { path, found, expected } of error?.problems ?? []) {
    assert.ok(error?.message.includes(`\n  ${path}: ${found}, expected ${expected}`));
  }
});

test('that others would reach it without tokens is told with all else that is wrong', () => {
  const problems = problemsOf('server: {host: 0.0.0.0}\nlog: {level: loud}', { SERVICE_PORT: 'abc' });
  assert.equal(
    problems.map(({ path }) => path),
    ['log.level', 'SERVICE_PORT', 'server.host'],
  );
  assert.equal(pathsOf('server: {host: "no host"}'), ['server.host']);
});

test('in a wrong place stand its kind or its value, and what may stand there', () => {
  const yaml = `
server: {api-key: x}
tier_models:
  a b: {model: m, endpoint: e, escalate_to: nope}
  small: {model: m, fallback: [5, nope]}
  large: {model: m, endpoint: e}
queues: {small: {timeout: [1], concurrency: {a: 1}}}
`;
  const name = 'a name of 1 to 64 letters, digits, `.`, `_` and `-`';
  const tier = 'a tier of tier_models (a b, small, large)';
  const [field, ...others] = problemsOf(yaml);
  assert.equal([field?.path, field?.found], ['server.api-key', 'not a known field']);
  assert.match(field!.expected, /^one of host, tokens_file, .*, grace_period_ms$/);
  assert.equal(
    others.map(({ path, found, expected }) => [path, found, expected]),
    [
      ['tier_models["a b"]', 'not a valid name', name],
      ['tier_models.small.endpoint', 'missing', name],
      ['tier_models.small.fallback[0]', '5', 'a text that is not empty'],
      ['queues.small.concurrency', 'a mapping', 'an integer from 1 to 10000'],
      ['queues.small.timeout', 'a list', 'a number from 0.001 to 86400'],
      ['tier_models["a b"].escalate_to', 'a string', tier],
      ['tier_models.small.fallback[1]', '"nope"', tier],
    ],
  );
});

test('nobody else can reach a service without tokens, unless it is said in so many words', () => {
  for (const host of ['0.0.0.0', '::', '192.168.1.4', 'worker.internal', '127.evil.example']) {
    const [problem, ...others] = problemsOf(`server: {host: "${host}"}`);
    assert.equal([problem?.path, problem?.found, others], ['server.host', host, []]);
    assert.match(problem!.expected, /server\.tokens_file.*server\.allow_unauthenticated/);
    assert.equal(problemsOf('', { HOST: host }).length, 1);
    assert.equal(problemsOf('', { HOST: host, ALLOW_UNAUTHENTICATED: 'true' }), []);
    assert.equal(problemsOf(`server: {host: "${host}", tokens_file: tokens.json}`), []);
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    assert.equal(problemsOf(`server: {host: "${host}"}`), []);
  }
  assert.is(aConfig('').server.host, '127.0.0.1');
  assert.is(aConfig('', { API_TOKENS: 'tokens.json' }).server.host, '0.0.0.0');
});

test('a certificate needs a key, and a key a certificate', () => {
  assert.equal(pathsOf('server: {tls_cert_file: a.pem}'), ['server.tls_key_file']);
  assert.equal(pathsOf('server: {tls_key_file: a.pem}'), ['server.tls_cert_file']);
});

test('the least of an adaptive limit is not above the most', () => {
  assert.equal(pathsOf('queues: {small: {min_concurrency: 6}}'), ['queues.small.min_concurrency']);
});

test('a field that is not known is refused wherever it stands, and its value is not shown', () => {
  const yaml = `
colour: s3cret
server: {api-key: s3cret}
gateway: {key: s3cret}
workers: {code-general: {tempreature: s3cret}}
tier_models: {small: {model: m, endpoint: e, token: s3cret}, large: {model: m, endpoint: e}}
queues: {small: {timeout_ms: s3cret}}
models: {m: {window: s3cret}}
endpoints: {e: {key: s3cret}}
`;
  assert.equal(pathsOf(yaml), [
    'colour',
    'endpoints.e.key',
    'gateway.key',
    'models.m.window',
    'queues.small.timeout_ms',
    'server.api-key',
    'tier_models.small.token',
    'workers.code-general.tempreature',
  ]);
  assert.not.ok(errorOf(() => aConfig(yaml))?.message.includes('s3cret'));
});

test('a number in quotes, a number out of range, a fraction and infinity are no integers', () => {
  for (const value of ['"8000"', '-1', '65536', '80.5', '.inf', '.nan', '[80]', '{a: 80}', 'true', '~']) {
    assert.equal(pathsOf(`server: {port: ${value}}`), ['server.port'], value);
  }
});

test('a quoted truth value is none', () => {
  assert.equal(pathsOf('prompts: {reload: "true"}'), ['prompts.reload']);
  assert.equal(pathsOf('prompts: {reload: yes}'), ['prompts.reload']);
});

test('a section that is not a mapping is refused without its value', () => {
  for (const section of [
    'server',
    'workers',
    'tier_models',
    'queues',
    'models',
    'endpoints',
    'gateway',
    'log',
  ]) {
    const problems = problemsOf(`${section}: s3cret`);
    assert.equal(
      problems.map(({ path, found }) => [path, found]),
      [[section, 'a string']],
      section,
    );
    assert.equal(pathsOf(`${section}: [1]`), [section]);
  }
  assert.equal(pathsOf('queues: {small: 5}'), ['queues.small']);
  assert.equal(pathsOf('embedded: {simulator: s3cret}'), ['embedded.simulator']);
});

test('a tier without a model or an endpoint is refused', () => {
  const large = 'large: {model: m, endpoint: e}';
  assert.equal(pathsOf(`tier_models: {small: {model: m}, ${large}}`), ['tier_models.small.endpoint']);
  assert.equal(pathsOf(`tier_models: {small: , ${large}}`), [
    'tier_models.small.endpoint',
    'tier_models.small.model',
  ]);
});

test('a tier that does not exist is refused as default, escalation, fallback and queue', () => {
  const tiers = `
  small: {model: m, endpoint: e, escalate_to: nope, fallback: [large, nope]}
  large: {model: m, endpoint: e}`;
  const yaml = `workers: {documentation: {default_tier: tiny}}\ntier_models:${tiers}\nqueues: {coding: {}}`;
  assert.equal(pathsOf(yaml), [
    'queues.coding',
    'tier_models.small.escalate_to',
    'tier_models.small.fallback[1]',
    'workers.documentation.default_tier',
  ]);
});

test('a default tier that the file leaves out of the tiers is refused', () => {
  assert.equal(pathsOf('tier_models: {small: {model: m, endpoint: e}}'), [
    'workers.code-vision.default_tier',
    'workers.ui-design.default_tier',
  ]);
});

test('a name that every object has is not taken for a tier', () => {
  assert.equal(pathsOf('workers: {documentation: {default_tier: constructor}}'), [
    'workers.documentation.default_tier',
  ]);
});

test('escalation in a circle is refused once for each circle', () => {
  const tier = (name: string, to: string) => `  ${name}: {model: m, endpoint: e, escalate_to: ${to}}\n`;
  const yaml = `tier_models:\n${tier('small', 'large')}${tier('large', 'b')}${tier('b', 'large')}${tier('c', 'c')}`;
  assert.equal(
    problemsOf(yaml).map(({ path, found }) => [path, found]),
    [
      ['tier_models.large.escalate_to', 'the cycle large → b → large'],
      ['tier_models.c.escalate_to', 'the cycle c → c'],
    ],
  );
});

test('escalation from several tiers to one is no circle', () => {
  const yaml = `
tier_models:
  tiny: {model: m, endpoint: e, escalate_to: large}
  small: {model: m, endpoint: e, escalate_to: large, fallback: [tiny]}
  large: {model: m, endpoint: e, fallback: [small]}
`;
  assert.equal(pathsOf(yaml), []);
});

test('a template outside of the directory of prompts is refused', () => {
  for (const path of ['/etc/passwd', '..', '../a.md', 'a/../../b.md', 'a/..', 'a\\b.md', '""', '5']) {
    const yaml = `workers: {documentation: {prompt_template: ${path}}}`;
    assert.equal(pathsOf(yaml), ['workers.documentation.prompt_template'], path);
  }
  assert.equal(pathsOf('workers: {documentation: {prompt_template: a..b/..c.md}}'), []);
});

test('a worker of an unknown domain is refused with the known ones', () => {
  const [problem, ...others] = problemsOf('workers: {code_general: {}}');
  assert.equal(others, []);
  assert.is(problem?.path, 'workers.code_general');
  assert.is(problem?.expected, `one of ${domains.join(', ')}`);
});

test('an output as large as the window is refused', () => {
  const model = (fields: string) => `models: {"gemma3:4b": {${fields}}}`;
  const path = ['models["gemma3:4b"].max_output_tokens'];
  assert.equal(pathsOf(model('max_output_tokens: 32768')), path);
  assert.equal(pathsOf(model('context_window: 1000, max_output_tokens: 1000')), path);
  assert.equal(pathsOf(model('context_window: 1000, max_output_tokens: 999')), []);
});

test('threads with less memory than the largest document may take are refused, whichever layer says so', () => {
  assert.equal(problemsOf('threads: {max_memory_mb: 287}'), [
    {
      path: 'threads.max_memory_mb',
      found: '287',
      expected:
        'at least 288, which is 32 times the largest of server.max_body_bytes, rabbitmq.max_message_bytes, rag.max_response_bytes, output.max_bytes',
    },
  ]);
  assert.equal(pathsOf('threads: {max_memory_mb: 288}'), []);
  const [problem] = problemsOf('threads: {max_memory_mb: 512}', { MAX_BODY_BYTES: '16777217' });
  assert.match(problem!.expected, /^at least 513,/);
  assert.equal(pathsOf('threads: {max_memory_mb: 512}', { MAX_BODY_BYTES: '16777216' }), []);
  assert.equal(pathsOf('threads: {max_memory_mb: 512}\noutput: {max_bytes: a lot}'), ['output.max_bytes']);
});

test('a wrong window is the one thing reported of a model', () => {
  for (const fields of ['context_window: "9999", max_output_tokens: 40000', 'context_window: 0']) {
    assert.equal(pathsOf(`models: {"gemma3:4b": {${fields}}}`), ['models["gemma3:4b"].context_window']);
  }
});

test('a name that is not one is refused where it stands, and only there', () => {
  assert.equal(
    pathsOf(
      'tier_models: {a b: {model: m, endpoint: e}, small: {model: m, endpoint: e}, large: {model: m n, endpoint: e f}}',
    ),
    ['tier_models.large.endpoint', 'tier_models.large.model', 'tier_models["a b"]'],
  );
  assert.equal(pathsOf('queues: {__proto__: {concurrency: 1}}'), ['queues.__proto__']);
  assert.equal(pathsOf('__proto__: {polluted: 1}'), ['__proto__']);
  assert.is(Reflect.get({}, 'polluted'), undefined);
});

test('a URL is http or https and nothing follows its path', () => {
  for (const url of [
    'ftp://h',
    'gateway:8000',
    'http://',
    'http:///h',
    'http://h:99999',
    'http://h?a=b',
    'http://h#a',
    '" http://h"',
    'http:h',
    'http://a\\b',
  ]) {
    assert.equal(pathsOf(`gateway: {url: ${url.startsWith('"') ? url : `'${url}'`}}`), ['gateway.url'], url);
  }
  const yaml =
    'gateway: {url: "http://h:1/api/v1"}\nrag: {url: "HTTPS://[::1]:2"}\nendpoints: {e: {url: "http://h"}}';
  assert.equal(pathsOf(yaml), []);
  assert.equal(pathsOf('rag: {url: h}\nendpoints: {e: {url: h}}'), ['endpoints.e.url', 'rag.url']);
});

test('no secret is in an error', () => {
  const yaml = `
gateway: {api_key: "s3cret two", url: "ftp://user:s3cret@host/x"}
rag: {url: "http://h/?key=s3cret"}
endpoints: {e: {api_key: [s3cret], url: "user:s3cret@h"}, f: s3cret, vllm: {api_key: 53, url: "http://a:s3c/s3cret@h"}}
`;
  const error = errorOf(() => aConfig(yaml, { MODEL_GATEWAY_API_KEY: 's3\u0001cret' }));
  assert.equal(pathsOf(yaml).length, 8);
  assert.ok(error?.problems.some(({ path }) => path === 'MODEL_GATEWAY_API_KEY'));
  // The first line names the file, whose random name may hold anything.
  const said = error!.message.slice(error!.message.indexOf('\n'));
  for (const part of ['s3', '53', 'user:']) assert.not.ok(said.includes(part), part);
});

test('a long value is cut in the error', () => {
  const [problem] = problemsOf(`log: {level: ${'x'.repeat(100_000)}}`);
  assert.is(problem?.found, `"${'x'.repeat(200)}…"`);
});

test.run();
