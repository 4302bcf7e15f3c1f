import Type from '../../contracts/typebox.js';
import { Name, nameExpectation } from './names.js';
import { baseUrl, secret } from './texts.js';

const Endpoint = Type.Object(
  {
    protocol: Type.Enum(['chat_completions', 'generate'], {
      default: 'chat_completions',
      description:
        'Wire protocol: `chat_completions` is OpenAI-compatible `POST {url}/chat/completions`, `generate` the gateway’s own `POST {url}/generate`.',
    }),
    stream: Type.Boolean({
      default: true,
      description:
        'Whether answers are asked for as a stream. `false` for a server that only answers whole; then nothing is known of an answer before its end.',
    }),
    url: Type.Optional(baseUrl('Base URL, http or https, in place of `gateway.url`. Default: none.')),
    response_format: Type.Enum(['none', 'json_object', 'json_schema'], {
      default: 'none',
      description:
        'The structured output that the endpoint is able to give. Only with `chat_completions`: `generate` cannot ask for it.',
    }),
    max_tokens_field: Type.Enum(['max_tokens', 'max_completion_tokens'], {
      default: 'max_tokens',
      description: 'Name of the field that bounds the output.',
    }),
    api_key: Type.Optional(secret('Bearer token, in place of `gateway.api_key`. Secret. Default: none.')),
  },
  { additionalProperties: false },
);

export const Endpoints = Type.Record(Name, Endpoint, {
  additionalProperties: false,
  names: nameExpectation,
  description: 'How endpoints are spoken to, by name. An endpoint without an entry has the defaults.',
});
