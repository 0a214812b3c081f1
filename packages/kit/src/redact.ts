// Shapes of what must never be read in a log, a trace or an error report, whatever field it comes in.
// What a pattern begins with has a bound: without one it is tried to the end of a long text from each of its places.
const SECRETS: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g, '[pem]'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[jwt]'],
  [/\bezak_\w+/g, '[api key]'],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, '$1 [credential]'],
  [
    /\b(password|passwd|secret|token|authorization|cookie|otp|recovery)(["']?\s*[=:]\s*["']?)[^\s"'&,}]+/gi,
    '$1$2[redacted]',
  ],
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/[^\s/:@]*):[^\s/@]+@/gi, '$1:[redacted]@'],
  [/\b[A-Za-z0-9_-]{43,}\b/g, '[token]'],
  // A name of a domain ends in letters: `product@1.2.3` is a version.
  [/[\w.+-]{1,64}@[\w-]+(\.[\w-]+)*\.[A-Za-z][\w-]*/g, '[email]'],
];

/** The text without secrets and addresses: JWTs, keys, PEM, credentials in headers and URLs, long tokens, e-mails. */
export function redact(text: string): string {
  let result = text;
  for (const [pattern, replacement] of SECRETS) result = result.replace(pattern, replacement);
  return result;
}

const SECRET_KEY = /pass(word|wd|phrase)|secret|token|authorization|cookie|otp|recovery|api[-_]?key|pepper|ssn/i;

/** The value with every string in it redacted and the value of every field with a secret's name dropped. */
export function redactDeep(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 20) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET_KEY.test(key) ? '[redacted]' : redactDeep(item, depth + 1),
    ]),
  );
}
