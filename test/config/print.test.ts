import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { printableConfig } from '../../config/print.js';
import { ConfigSchema } from '../../config/schema.js';
import { aConfig } from './a-config.js';

const withSecrets = `
gateway: {url: "http://user:s3cret@gateway:8000/api/v1", api_key: s3cret}
rag: {url: "https://s3cret@rag/"}
store: {database_url: "postgres://s3cret:s3cret@s3cret/s3cret"}
rabbitmq: {host: "amqp://u:s3cret@a/v, b, amqps://s3cret@c", password: s3cret}
endpoints: {vllm_gpu: {url: "http://u:s3cret@p@h:1", api_key: s3cret}}
`;

test('the print has every secret and the credentials in URLs as ***', () => {
  const text = printableConfig(aConfig(withSecrets));
  assert.not.ok(text.includes('s3cret'));
  const { gateway, rag, endpoints, store, rabbitmq } = parse(text);
  assert.equal([rabbitmq.host, rabbitmq.password], ['amqp://***@a/v, b, amqps://***@c', '***']);
  assert.is(store.database_url, '***');
  assert.equal([gateway.url, gateway.api_key], ['http://***@gateway:8000/api/v1', '***']);
  assert.is(rag.url, 'https://***@rag/');
  assert.equal([endpoints.vllm_gpu.url, endpoints.vllm_gpu.api_key], ['http://***@h:1', '***']);
});

test('the configuration itself keeps its secrets', () => {
  const config = aConfig(withSecrets);
  printableConfig(config);
  assert.is(config.gateway.api_key, 's3cret');
});

test('a URL without credentials is printed as it is, an @ in its path too', () => {
  const text = printableConfig(aConfig('gateway: {url: "http://h/a@b"}'));
  assert.is(parse(text).gateway.url, 'http://h/a@b');
});

test('the print is a configuration file with the same effect', () => {
  const config = aConfig('queues: {small: {timeout: 1.5}}\nembedded: {simulator: {output: "a: #b"}}');
  const text = printableConfig(config);
  assert.is(printableConfig(aConfig(text)), text);
  const { rabbitmq, ...others } = JSON.parse(JSON.stringify(config));
  assert.equal(parse(text), { ...others, rabbitmq: { ...rabbitmq, password: '***' } });
});

test('the print has the sections in the order of the reference', () => {
  assert.equal(
    Object.keys(parse(printableConfig(aConfig('log: {level: info}')))),
    Object.keys(ConfigSchema.properties),
  );
});

test.run();
