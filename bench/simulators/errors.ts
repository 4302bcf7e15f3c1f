/** The JSON text of an error answer as OpenAI-compatible servers give it. */
export function errorBody(status: number, message: string, param: string | null = null): string {
  const { type, code } = errorNames[status] ?? { type: 'server_error', code: 'simulated_error' };
  return JSON.stringify({ error: { message, type, param, code } });
}

const errorNames: Readonly<Record<number, { readonly type: string; readonly code: string }>> = {
  400: { type: 'invalid_request_error', code: 'invalid_request' },
  401: { type: 'authentication_error', code: 'invalid_api_key' },
  404: { type: 'invalid_request_error', code: 'not_found' },
  429: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
  503: { type: 'server_error', code: 'overloaded' },
};
