/** Shows the OpenAPI document, with the token that the live page was given. */
const token = sessionStorage.getItem('token');
const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
const response = await fetch('openapi.json', { headers: authorization });
if (response.ok) {
  new MutationObserver(mend).observe(document.getElementById('api'), { childList: true, subtree: true });
  globalThis.SwaggerUIBundle({
    dom_id: '#api',
    spec: await response.json(),
    // Requests that are tried out go to this service, with the same token.
    requestInterceptor: (request) => {
      if (token !== null) request.headers.Authorization ??= `Bearer ${token}`;
      return request;
    },
    validatorUrl: null,
    syntaxHighlight: { theme: 'tomorrow-night' },
  });
} else {
  document.getElementById('token').hidden = false;
}

/** Names what Swagger UI leaves without a name, and lets the keyboard reach what scrolls (WCAG 2.1, 4.1.2 and 2.1.1). */
function mend() {
  for (const select of document.querySelectorAll('select:not([aria-label])'))
    select.ariaLabel = select.id === 'servers' ? 'Server' : 'Example or media type';
  for (const text of document.querySelectorAll('pre:not([tabindex])')) text.tabIndex = 0;
}
