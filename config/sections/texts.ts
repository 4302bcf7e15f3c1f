import Type from '../../contracts/typebox.js';

/** The text of a bearer token: what an HTTP header takes. */
export function secret(description: string, preset?: string) {
  return Type.String({
    pattern: '^[!-~]+$',
    secret: true,
    expected: 'visible ASCII characters without spaces',
    description,
    ...(preset !== undefined && { default: preset }),
  });
}

/** A base URL to call; masked where it has credentials. */
export function baseUrl(description: string) {
  return Type.Refine(
    Type.String({ url: true, expected: 'an http or https URL without query and fragment', description }),
    isBaseUrl,
  );
}

// Narrower than what URL takes, so that credentials can only stand where they are looked for when masked.
function isBaseUrl(text: string): boolean {
  return /^https?:\/\/[^\s/?#\\][^\s?#\\]*$/i.test(text) && URL.canParse(text);
}

/** Whether what is percent-encoded in a URL can be decoded. */
export function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
