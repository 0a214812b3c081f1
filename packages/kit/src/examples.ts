import { createHash } from 'node:crypto';
import { z } from 'zod';

/** A schema's example for the API reference, by a name that says which of several it is. */
export type Examples = Record<string, unknown>;

interface Place {
  /** Names of the fields from the outermost to this one. */
  path: readonly string[];
  /** Whether a value would pass; beside the schema itself, what is piped behind it has a say. */
  accepts: (value: unknown) => boolean;
}

interface Variant {
  name: string;
  value: unknown;
}

/** What zod tells of its strings and numbers. */
interface Measured {
  format?: string;
  minLength?: number | null;
  maxLength?: number | null;
  minValue?: number | null;
  maxValue?: number | null;
}

type Def = z.core.$ZodTypes['_zod']['def'];

const VARIANTS_MAX = 12;
const NOW = '2026-03-02T09:30:00.000Z';
const LATER = '2026-03-09T09:30:00.000Z';
const TOKEN = 'N1xQ4nTq0m8fY2sV6bK3wRzJ7hLc5pDgE9aUoXtGiMk';

/** What fields are usually called, and a value that shows what they hold. `parent.name` comes before `name`. */
const BY_NAME: Record<string, unknown> = {
  access_token: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl',
  account: 'Gatehouse:vera@acme.example',
  action: 'auth.login_succeeded.v1',
  address: '203.0.113.7',
  addresses: ['203.0.113.0/24'],
  agent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0',
  allowed_domains: ['acme.example'],
  api_keys: 3,
  'api-keys.name': 'Nightly report',
  'audit.data': { user_id: uuidOf('user_id') },
  challenge_token: TOKEN,
  code: '492871',
  current_password: 'the passphrase until today',
  cursor: 'eyJwb3NpdGlvbiI6Ii4uLiJ9',
  device: 'Firefox on Linux',
  'device.name': 'Firefox on Linux',
  'devices.name': 'Firefox on Linux',
  disabled_reason: 'Left the company.',
  domain: 'acme.example',
  email: 'vera@acme.example',
  expires_in: 900,
  hash: createHash('sha256').update('hash').digest('hex'),
  invitation_token: TOKEN,
  invitations: 2,
  inviter: 'Ada',
  'jwks.json.keys': [
    { kid: '1', kty: 'EC', crv: 'P-256', x: 'f83OJ3D2xF1B', y: 'x_FEzRu9m36H', alg: 'ES256', use: 'sig' },
  ],
  key: 'ezak_dev_shown_once_and_never_again',
  key_name: 'Nightly report',
  kind: 'user',
  'audit.kind': 'security',
  'limits.api_keys': 25,
  'limits.invitations': 50,
  'limits.members': 25,
  'limits.requests_per_day': 100_000,
  'login-history.method': 'totp',
  'login-history.reason': 'wrong_password',
  members: 7,
  meaning: 'See who belongs to the organization',
  method: 'POST',
  name: 'Vera',
  new_email: 'vera@new.example',
  new_password: 'a passphrase of four words',
  next_cursor: 'eyJwb3NpdGlvbiI6Ii4uLiJ9',
  note: 'Welcome to the team.',
  org_name: 'Acme',
  'org.name': 'Acme',
  organization: 'Acme',
  'organization.name': 'Acme',
  'organizations.name': 'Acme',
  'orgs.name': 'Acme',
  otpauth_uri: 'otpauth://totp/Gatehouse:vera%40acme.example?secret=GEZDGNBVGY3TQOJQ&issuer=Gatehouse',
  outcome: 'success',
  overlap_seconds: 3600,
  password: 'a passphrase of four words',
  path: '/api/proxy/example/reports/*',
  prefix: 'ezak_dev_4fT9',
  qr_svg: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 41 41"><path d="M4 4h7v7h-7z"/></svg>',
  reason: 'Asked for by its owner.',
  recovery_codes: ['k7qm-2xvd-9rfh'],
  refresh_token: TOKEN,
  request_id: '0190f2a7c1d27cc0a3f1b2c3d4e5f607',
  requests_today: 1234,
  retention_days: 365,
  scopes: ['proxy'],
  secret: 'GEZDGNBVGY3TQOJQ',
  service: 'gatehouse',
  session_max_seconds: 28_800,
  slug: 'acme',
  source: 'content',
  'target.id': uuidOf('user_id'),
  'actor.id': uuidOf('user_id'),
  'target.type': 'user',
  token: TOKEN,
  token_hash: createHash('sha256').update('token').digest('hex'),
  token_type: 'gatehouse_api_key',
  'reports.type': 'gatehouse_api_key',
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  url: 'https://git.example/acme/app/blob/main/config.js',
  until: LATER,
  value: '492871',
  version: '1.0.0',
};

/** Whose id a field called `id` is, by what it belongs to. */
const OWNERS: Record<string, string> = {
  user: 'user_id',
  users: 'user_id',
  me: 'user_id',
  org: 'org_id',
  orgs: 'org_id',
  organization: 'org_id',
  organizations: 'org_id',
  'api-keys': 'key_id',
  sessions: 'session_id',
  device: 'device_id',
  devices: 'device_id',
  invitations: 'invitation_id',
};

/** By format, where the name says nothing. */
const BY_FORMAT: Record<string, unknown> = {
  datetime: NOW,
  date: NOW.slice(0, 10),
  time: '09:30:00',
  duration: 'P7D',
  email: 'vera@acme.example',
  url: 'https://acme.example/',
  ipv4: '203.0.113.7',
  ipv6: '2001:db8::7',
  cidrv4: '203.0.113.0/24',
  base64url: TOKEN,
  base64: 'TjF4UTRuVHEwbTg=',
};

// For patterns that neither name nor format explains.
const GUESSES = ['492871', '50', 'proxy', '0'.repeat(64), 'a'.repeat(32), TOKEN, NOW, 'GET', '/', 'on', 'acme'];

/**
 * Examples of what a schema takes (`input`) or answers (`output`), always the same ones: every field filled, one element
 * in each list, one example for each member of a union. `.meta({ example })` or `.meta({ examples: [...] })` on a schema
 * says it better; `about` is what the outermost fields belong to. Throws where no value can be found that the schema accepts: such a schema needs an example.
 */
export function examplesOf(schema: z.ZodType, io: 'input' | 'output', about = ''): Examples {
  const variants = variantsOf(schema, { path: [about], accepts: () => true });
  const found: Examples = {};
  for (const { name, value } of variants) {
    const parsed = schema.safeParse(value);
    if (!parsed.success)
      throw new Error(`no example: ${JSON.stringify(value)} is refused: ${z.prettifyError(parsed.error)}`);
    const example = io === 'output' ? parsed.data : value;
    // A union takes the first member that fits and drops what that one does not know.
    if (io === 'output') assertWhole(value, example);
    found[unused(name, found)] = example === undefined ? undefined : JSON.parse(JSON.stringify(example));
  }
  return found;
}

function assertWhole(value: unknown, answered: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    const kept = (answered as Record<string, unknown> | null)?.[name];
    if (inner !== undefined && kept === undefined) throw new Error(`${name} would be dropped from the answer`);
    assertWhole(inner, kept);
  }
}

/** An id that is always the same for a name, and another one for another name. */
function uuidOf(name: string): string {
  return `0190f2a7-c1d2-7cc0-a3f1-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
}

function unused(name: string, taken: Examples): string {
  if (!(name in taken)) return name;
  for (let n = 2; ; n++) if (!(`${name}_${n}` in taken)) return `${name}_${n}`;
}

/** The first is the usual one; each other differs from it in one place where the schema leaves a choice. */
function variantsOf(schema: z.ZodType, place: Place): Variant[] {
  const told = toldBy(schema);
  if (told) return told;
  const def = (schema as unknown as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'object':
      return objectVariants(def.shape as Record<string, z.ZodType>, place);
    case 'array':
      return arrayVariants(schema, def.element as z.ZodType, place);
    case 'union':
      return (def.options as z.ZodType[]).flatMap((option) => memberVariants(option, place)).slice(0, VARIANTS_MAX);
    case 'pipe':
      return pipeVariants(schema, def.in as z.ZodType, def.out as z.ZodType, place);
    case 'optional':
      return switched(def.innerType as z.ZodType) ?? variantsOf(def.innerType as z.ZodType, place);
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return variantsOf(def.innerType as z.ZodType, place);
    case 'lazy':
      return variantsOf(def.getter() as z.ZodType, place);
    case 'intersection':
      return [{ name: 'example', value: { ...first(def.left, place), ...first(def.right, place) } }];
    default:
      return [{ name: 'example', value: leaf(schema, def, place) }];
  }
}

/** A constant that may be left out asks for something out of the ordinary: without it is the usual. */
function switched(inner: z.ZodType): Variant[] | undefined {
  const def = (inner as unknown as z.core.$ZodTypes)._zod.def;
  const value = def.type === 'literal' ? def.values[0] : undefined;
  if (typeof value !== 'string') return undefined;
  return [
    { name: 'example', value: undefined },
    { name: nameable(value), value },
  ];
}

const first = (schema: unknown, place: Place) => variantsOf(schema as z.ZodType, place)[0]?.value as object;

function toldBy(schema: z.ZodType): Variant[] | undefined {
  const { example, examples } = schema.meta() ?? {};
  if (example !== undefined) return [{ name: 'example', value: example }];
  if (Array.isArray(examples)) return examples.map((value) => ({ name: 'example', value }));
  return undefined;
}

function objectVariants(shape: Record<string, z.ZodType>, place: Place): Variant[] {
  const fields = Object.entries(shape).map(([name, schema]) => {
    return { name, variants: variantsOf(schema, { path: [...place.path, name], accepts: () => true }) };
  });
  const usual = Object.fromEntries(fields.map(({ name, variants }) => [name, variants[0]?.value]));
  const others = fields.flatMap(({ name, variants }) =>
    variants.slice(1).map((other) => ({ name: other.name, value: { ...usual, [name]: other.value } })),
  );
  const named = fields.find(({ variants }) => variants.length > 1)?.variants[0]?.name ?? 'example';
  return [{ name: named, value: usual }, ...others].slice(0, VARIANTS_MAX);
}

function arrayVariants(schema: z.ZodType, element: z.ZodType, place: Place): Variant[] {
  const known = byName(place.path);
  if (Array.isArray(known) && accepted(schema, place)(known)) return [{ name: 'example', value: known }];
  // One list shows all kinds of elements there are.
  const kinds = variantsOf(element, { path: place.path, accepts: () => true }).map(({ value }) => value);
  return [{ name: 'example', value: accepted(schema, place)(kinds) ? kinds : kinds.slice(0, 1) }];
}

/** What one member of a union looks like, called by what tells it from the others. */
function memberVariants(member: z.ZodType, place: Place): Variant[] {
  const variants = variantsOf(member, place);
  const def = (member as unknown as z.core.$ZodTypes)._zod.def;
  if (variants.length !== 1 || def.type !== 'object') return variants;
  const title = member.meta()?.title;
  const constant = Object.entries(def.shape as Record<string, z.ZodType>).find(
    ([, field]) => (field as unknown as z.core.$ZodTypes)._zod.def.type === 'literal',
  );
  const value = variants[0]?.value as Record<string, unknown>;
  const literal = constant && value[constant[0]];
  const byLiteral = constant && (typeof literal === 'string' ? literal : constant[0]);
  return [{ name: nameable(title ?? byLiteral ?? Object.keys(value)[0] ?? 'example'), value }];
}

const nameable = (text: string) => text.replaceAll(/[^\w.-]+/g, '_');

function pipeVariants(schema: z.ZodType, into: z.ZodType, out: z.ZodType, place: Place): Variant[] {
  const source = (into as unknown as z.core.$ZodTypes)._zod.def.type === 'transform' ? out : into;
  return variantsOf(source, { path: place.path, accepts: accepted(schema, place) });
}

const accepted =
  (schema: z.ZodType, { accepts }: Place) =>
  (value: unknown) =>
    schema.safeParse(value).success && accepts(value);

function leaf(schema: z.ZodType, def: Def, place: Place): unknown {
  const accepts = accepted(schema, place);
  for (const candidate of candidatesOf(schema, def, place)) if (accepts(candidate)) return candidate;
  throw new Error(
    `no example for ${place.path.filter(Boolean).join('.') || 'a value'} (${def.type}): give it .meta({ example })`,
  );
}

function candidatesOf(schema: z.ZodType, def: Def, place: Place): unknown[] {
  const { format, minLength, maxLength, minValue, maxValue } = schema as z.ZodType & Measured;
  const name = place.path.at(-1) ?? '';
  switch (def.type) {
    case 'enum':
      return Object.values(def.entries);
    case 'literal':
      return [...def.values];
    case 'boolean':
      return [true, false];
    case 'date':
      return [new Date(timeOf(name))];
    case 'record':
      return [byName(place.path), recordOf(def.keyType as z.ZodType, def.valueType as z.ZodType, place)];
    case 'number':
      return [byName(place.path), 1, minValue, maxValue];
    case 'null':
      return [null];
    case 'void':
    case 'undefined':
      return [undefined];
    case 'unknown':
    case 'any':
      return [byName(place.path) ?? {}];
    case 'string':
      return [
        ...(format === 'uuid' || format === 'guid'
          ? [uuidOf(name === 'id' ? (OWNERS[parentOf(place.path)] ?? name) : name)]
          : []),
        ...(format === 'datetime' ? [timeOf(name)] : []),
        byName(place.path),
        BY_FORMAT[format ?? ''],
        sized(name.replaceAll('_', ' ') || 'text', minLength ?? 0, maxLength ?? undefined),
        ...GUESSES,
      ];
    default:
      return [byName(place.path), ...GUESSES, {}];
  }
}

function recordOf(key: z.ZodType, value: z.ZodType, place: Place): Record<string, unknown> {
  const inside = { path: place.path, accepts: () => true };
  const keys = (key as unknown as z.core.$ZodTypes)._zod.def;
  const names = keys.type === 'enum' ? Object.values(keys.entries).map(String) : [String(first(key, inside))];
  return Object.fromEntries(names.map((one) => [one, first(value, { ...inside, path: [...place.path, one] })]));
}

function byName(path: readonly string[]): unknown {
  const name = path.at(-1) ?? '';
  const specific = `${parentOf(path)}.${name}`;
  return Object.hasOwn(BY_NAME, specific)
    ? BY_NAME[specific]
    : Object.hasOwn(BY_NAME, name)
      ? BY_NAME[name]
      : undefined;
}

/** What a field belongs to; lists wrap their rows in `data`, which says nothing. */
const parentOf = (path: readonly string[]) => path.slice(0, -1).findLast((name) => name !== 'data') ?? '';

/** What ends lies after what began. */
const timeOf = (name: string) => (/expires|until|due|_to$|^to$|retry/.test(name) ? LATER : NOW);

function sized(text: string, minimum: number, maximum = Number.POSITIVE_INFINITY): string {
  return text
    .padEnd(minimum, ' and so on')
    .slice(0, Math.min(maximum, Math.max(text.length, minimum)))
    .trim();
}
