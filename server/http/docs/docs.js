/** Shows the OpenAPI document, with the token that the live page was given. */
const token = sessionStorage.getItem('token');
const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
const response = await fetch('openapi.json', { headers: authorization });
if (response.ok) {
  globalThis.SwaggerUIBundle({
    dom_id: '#api',
    spec: await response.json(),
    // Requests that are tried out go to this service, with the same token.
    requestInterceptor: (request) => {
      if (token !== null) request.headers.Authorization ??= `Bearer ${token}`;
      return request;
    },
    validatorUrl: null,
  });
} else {
  document.getElementById('token').hidden = false;
}
