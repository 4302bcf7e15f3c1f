import type { Attributes } from '@opentelemetry/api';
import type { Attempt } from '../../contracts/outcome.js';
import type { Executed } from '../outcome.js';
import type { ResolvedTask } from '../resolution.js';
import type { TracedCall } from './tracing.js';

/**
 * The attributes of the spans: those of OpenTelemetry's semantic conventions for generative AI, HTTP and messaging
 * where they have a name for it, `worker.*` for the rest. None holds a word of a prompt or an output.
 */
export function taskAttributes({ task, tier }: ResolvedTask, from: 'http' | 'events'): Attributes {
  return {
    'worker.task.id': task.task_id,
    'worker.task.domain': task.domain,
    'worker.task.tier': tier,
    ...(from === 'http'
      ? { 'http.request.method': 'POST', 'http.route': '/execute' }
      : { 'messaging.system': 'rabbitmq', 'messaging.operation.type': 'process' }),
  };
}

export function taskResult(executed: Executed | undefined): Attributes {
  if (executed === undefined) return { 'error.type': 'internal_error' };
  const { outcome } = executed;
  return {
    'worker.outcome.status': outcome.status,
    'worker.tokens_used': outcome.tokens_used,
    ...(outcome.tier !== undefined && { 'worker.outcome.tier': outcome.tier }),
    ...(outcome.context !== undefined && { 'worker.context.status': outcome.context }),
    ...(outcome.status === 'failed' && { 'error.type': outcome.code }),
  };
}

export function callAttributes(
  call: TracedCall,
  { url, protocol, stream }: { readonly url: URL; readonly protocol: string; readonly stream: boolean },
): Attributes {
  return {
    'gen_ai.operation.name': 'chat',
    // Who makes the model is the gateway's affair; this is whose protocol is spoken.
    'gen_ai.provider.name': protocol === 'chat_completions' ? 'openai' : 'model_gateway',
    'gen_ai.request.model': call.model,
    'gen_ai.request.max_tokens': call.maxOutputTokens,
    'gen_ai.request.stream': stream,
    'gen_ai.output.type': 'json',
    'server.address': url.hostname,
    'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    'worker.endpoint': call.endpoint,
    'worker.call.tier': call.tier,
  };
}

export function callResult(attempt: Attempt): Attributes {
  return {
    'gen_ai.response.model': attempt.model,
    'gen_ai.usage.input_tokens': attempt.tokens.prompt,
    'gen_ai.usage.output_tokens': attempt.tokens.completion,
    ...(attempt.finish_reason !== undefined && { 'gen_ai.response.finish_reasons': [attempt.finish_reason] }),
    ...(attempt.first_token_ms !== undefined && {
      'gen_ai.response.time_to_first_chunk': attempt.first_token_ms / 1000,
    }),
    'worker.attempt.number': attempt.number,
    'worker.attempt.kind': attempt.kind,
    ...(attempt.ended !== 'finished' && { 'error.type': attempt.ended }),
  };
}
