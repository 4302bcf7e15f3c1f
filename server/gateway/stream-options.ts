/** The request without the parameter that asks for usage in the stream: some servers refuse what they do not know. */
export function withoutStreamOptions(body: Uint8Array): Uint8Array {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const at = bytes.lastIndexOf(STREAM_OPTIONS);
  return at < 0 ? body : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + STREAM_OPTIONS.length)]);
}

// Its quotes are not escaped, so it does not stand in a message.
const STREAM_OPTIONS = ',"stream_options":{"include_usage":true}';
