// The same as in packages/kit/src/config.ts, which a bare host cannot import; a test compares them.
const EXAMPLE =
  /change[-_ ]?me|example|placeholder|replace[-_ ]?(me|this)|your[-_ ]|^(secret|password|default|test|dev)/i;
const MIN_BYTES = 32;

/** What is wrong with a value that has to be random; undefined when nothing is. */
export function weaknessOf(value: string): string | undefined {
  if (Buffer.byteLength(value) < MIN_BYTES) return `has fewer than ${MIN_BYTES} bytes`;
  if (EXAMPLE.test(value)) return 'is an example value';
  if (new Set(value).size < 10) return 'is too simple';
  return undefined;
}

/** Names that are reserved for documents (RFC 2606, section 3) and belong to nobody. */
const EXAMPLE_DOMAIN = /(^|[^a-z0-9-])example\.(com|net|org)($|[^a-z0-9-])/i;

export function namesExampleDomain(value: string): boolean {
  return EXAMPLE_DOMAIN.test(value);
}

/** A value that carries a credential, whatever its key: a key in PEM form, an address with a password. */
export function carriesSecret(value: string): boolean {
  return /-----BEGIN|:\/\/[^/\s@]*:[^/\s@]+@/.test(value);
}
