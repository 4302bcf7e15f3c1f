import { resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../config/load.js';
import { brokerAddresses } from '../../server/events/addresses.js';
import { aConfig, domains, errorOf, pathsOf, withFile } from './a-config.js';

test('the environment goes before the file', () => {
  const yaml = `
gateway: {url: "http://file/", api_key: file, max_attempts: 9}
rag: {url: "http://file/"}
server: {port: 1, host: file, allow_unauthenticated: true}
traces: {sample_ratio: 0.5}
log: {level: error}
`;
  const config = aConfig(yaml, {
    MODEL_GATEWAY_URL: 'http://model-gateway:8000/api/v1',
    MODEL_GATEWAY_API_KEY: 'key\n',
    RAG_SERVICE_URL: 'http://rag-service:8000/api/v1',
    PROMPTS_DIR: '/app/prompts',
    DATA_DIR: '/data',
    DATABASE_URL: 'postgresql://user:pass@db:5432/tasks?sslmode=verify-full',
    SERVICE_PORT: '0',
    HOST: '::1',
    ALLOW_UNAUTHENTICATED: 'false',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
    LOG_LEVEL: 'DEBUG',
    MAX_BODY_BYTES: '2048',
    GRACE_PERIOD_MS: '5',
  });
  assert.is(config.gateway.url, 'http://model-gateway:8000/api/v1');
  assert.is(config.gateway.api_key, 'key');
  assert.is(config.gateway.max_attempts, 9);
  assert.is(config.rag.url, 'http://rag-service:8000/api/v1');
  assert.is(config.prompts.directory, '/app/prompts');
  assert.is(config.store.directory, '/data');
  assert.is(config.store.database_url, 'postgresql://user:pass@db:5432/tasks?sslmode=verify-full');
  assert.equal([config.server.port, config.server.host], [0, '::1']);
  assert.is(config.server.allow_unauthenticated, false);
  assert.is(config.traces.sample_ratio, 0.25);
  assert.is(config.log.level, 'debug');
  assert.equal([config.server.max_body_bytes, config.server.grace_period_ms], [2048, 5]);
});

test('a part of one may be written without its nought', () => {
  assert.is(aConfig('', { OTEL_TRACES_SAMPLER_ARG: '.5' }).traces.sample_ratio, 0.5);
  assert.equal(pathsOf('', { OTEL_TRACES_SAMPLER_ARG: '.' }), ['OTEL_TRACES_SAMPLER_ARG']);
});

test('an empty variable is unset', () => {
  const names = ['MODEL_GATEWAY_URL', 'MODEL_GATEWAY_API_KEY', 'RAG_SERVICE_URL', 'PROMPTS_DIR', 'DATA_DIR'];
  const more = [
    'DATABASE_URL',
    'SERVICE_PORT',
    'HOST',
    'LOG_LEVEL',
    'MAX_BODY_BYTES',
    'GRACE_PERIOD_MS',
    'CONFIG_FILE',
  ];
  for (const text of ['', ' ']) {
    const env = Object.fromEntries([...names, ...more].map((name) => [name, text]));
    assert.equal(JSON.stringify(aConfig('', env)), JSON.stringify(aConfig('')));
  }
});

test('a bad value is an error that names the variable', () => {
  const env = {
    MODEL_GATEWAY_URL: 'model-gateway:8000',
    MODEL_GATEWAY_API_KEY: 'a b',
    RAG_SERVICE_URL: 'amqp://h',
    DATABASE_URL: 'mysql://h/tasks',
    SERVICE_PORT: '80.5',
    HOST: 'a b',
    LOG_LEVEL: 'loud',
    MAX_BODY_BYTES: '8MiB',
    GRACE_PERIOD_MS: '-1',
    WORKERS: '0',
    ALLOW_UNAUTHENTICATED: 'no',
    OTEL_TRACES_SAMPLER_ARG: 'half',
  };
  assert.equal(pathsOf('', env), Object.keys(env).sort());
});

test('a database is a PostgreSQL URL, and no error shows it', () => {
  for (const url of [
    'postgres://h',
    'postgresql://u@h:5432/d',
    'postgres://u:p%2F%40@a:1/d?sslmode=require',
    'postgres://%2Frun%2Fpostgresql/d',
    'postgres://u@[::1]/d',
  ]) {
    assert.is(aConfig('', { DATABASE_URL: url }).store.database_url, url);
  }
  for (const url of [
    'h:5432/s3cret',
    'http://u:s3cret@h',
    'postgres:h/s3cret',
    'postgres://u:s3cret@h:port/d',
    'postgres://u:s3/cret@h/d',
    'postgres://u:s3%cret@h/d',
    'postgres://u:s3cret@h/d e',
    'postgres://u:s3cret@a:1,b:2/d',
  ]) {
    const error = errorOf(() => aConfig('', { DATABASE_URL: url }));
    assert.equal(
      error?.problems.map(({ path, found }) => [path, found]),
      [['DATABASE_URL', '***']],
      url,
    );
  }
});

test('a broker is a host, host:port, a URL, or a list of these', () => {
  for (const host of [
    '192.168.1.49',
    'rabbitmq',
    'rabbitmq:5673',
    '[::1]:5672',
    'a, b:1,amqps://u:p@c/vh',
    'amqp://h/%2Fx',
  ]) {
    assert.is(aConfig('', { RABBITMQ_HOST: host }).rabbitmq.host, host);
  }
  for (const host of [
    'a b',
    'http://h',
    'a,,b',
    'amqp://',
    'amqp://h/x?heartbeat=1',
    'h:123456',
    'h:99999',
    'amqp://u:p%ss@h',
  ]) {
    assert.equal(pathsOf('', { RABBITMQ_HOST: host }), ['RABBITMQ_HOST'], host);
  }
});

test('what a list of brokers names goes before the fields, and the usual ports before neither', () => {
  const { rabbitmq } = aConfig('', {
    RABBITMQ_HOST: 'a, b:1, amqps://u:p%40@c/vh, amqp://d',
    RABBITMQ_PORT: '5673',
    RABBITMQ_USER: 'user',
    RABBITMQ_PASSWORD: 'pass',
    RABBITMQ_VHOST: 'home',
  });
  assert.equal(
    brokerAddresses(rabbitmq).map(({ protocol, hostname, port, username, password, vhost }) =>
      [protocol, hostname, port, username, password, vhost].join(' '),
    ),
    [
      'amqp a 5673 user pass home',
      'amqp b 1 user pass home',
      'amqps c 5671 u p@ vh',
      'amqp d 5672 user pass home',
    ],
  );
});

test('a number is written in decimal digits', () => {
  for (const text of ['0x50', '1e3', '+80', '80 80', '99999999999999999999999']) {
    assert.equal(pathsOf('', { SERVICE_PORT: text }), ['SERVICE_PORT'], text);
  }
});

test('a wrong field of the file is an error even when the environment sets it', () => {
  assert.equal(pathsOf('server: {port: "1"}', { SERVICE_PORT: '1' }), ['server.port']);
  assert.equal(pathsOf('server: 5', { SERVICE_PORT: '1' }), ['server']);
});

test('a relative path of the environment is taken from the working directory', () => {
  const env = { PROMPTS_DIR: 'a', DATA_DIR: './b/../c', TLS_KEY_FILE: 'k', TLS_CERT_FILE: 'd' };
  const { prompts, store, server, rabbitmq } = aConfig('', { ...env, RABBITMQ_TLS_CA_FILE: 'tls/ca' });
  const paths = [prompts.directory, store.directory, server.tls_key_file, rabbitmq.tls_ca_file];
  assert.equal(
    paths,
    ['a', 'c', 'k', 'tls/ca'].map((path) => resolve(path)),
  );
});

test('variables of later issues and of others are left alone', () => {
  const env = {
    OTEL_SERVICE_NAME: 'x',
    PATH: 'x',
  };
  assert.equal(JSON.stringify(aConfig('', env)), JSON.stringify(aConfig('')));
});

test('the file is --config, else CONFIG_FILE, else the shipped one', () => {
  const port = (options: { env?: Record<string, string>; argv?: string[] }) =>
    loadConfig({ env: {}, domains, ...options }).server.port;
  withFile('server: {port: 1}', (one) =>
    withFile('server: {port: 2}', (two) => {
      assert.is(port({}), 8000);
      assert.is(port({ env: { CONFIG_FILE: two } }), 2);
      assert.is(port({ env: { CONFIG_FILE: two }, argv: ['--x', '--config', one, 'y'] }), 1);
      assert.is(port({ env: { CONFIG_FILE: two }, argv: [`--config=${one}`] }), 1);
      assert.is(port({ argv: ['--config', one, '--config', two] }), 2);
      assert.is(port({ argv: ['--configuration', one] }), 8000);
    }),
  );
});

test('a file that is not there is an error that says who named it', () => {
  const paths = (env: Record<string, string>, argv: string[] = []) =>
    errorOf(() => loadConfig({ env, argv, domains }))?.problems.map(({ path }) => path);
  assert.equal(paths({ CONFIG_FILE: '/nowhere/a.yaml' }), ['CONFIG_FILE']);
  assert.equal(paths({ SERVICE_PORT: 'x' }, ['--config', '/nowhere/a.yaml']), ['--config', 'SERVICE_PORT']);
  assert.equal(paths({}, ['--config', '/tmp']), ['--config']);
  assert.equal(paths({}, ['--config']), ['--config']);
  assert.equal(paths({}, ['--config=']), ['--config']);
  const [problem] = errorOf(() => loadConfig({ path: '/nowhere/a.yaml', env: {}, domains }))?.problems ?? [];
  assert.is(problem?.found, '/nowhere/a.yaml (ENOENT)');
});

test.run();
