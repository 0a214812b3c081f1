import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { Endpoint } from './endpoint.ts';
import { type Examples, examplesOf } from './examples.ts';
import { codesOf, header, PROBLEM, PROBLEM_EXAMPLES, problemResponses } from './openapi-problems.ts';

type Json = Record<string, unknown>;

/** What `.meta()` on the schema of an answer says of its HTTP side; it is no part of the JSON schema. */
interface AnswerMeta {
  /** Other than `application/json`. */
  mediaType?: string;
  /** Headers of this answer by name, each with what it is for. */
  headers?: Record<string, string>;
}

/**
 * The OpenAPI 3.1 document of declared endpoints, grouped by the process that answers them. Where a deployment chooses
 * between several endpoints at one path, the operation shows them all; the first is the default.
 */
export function openApiDocument(groups: Record<string, readonly Endpoint[]>, version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [tag, endpoints] of Object.entries(groups)) {
    const open = endpoints.filter(({ permission }) => permission !== 'internal');
    for (const choice of Map.groupBy(open, ({ method, path }) => `${method} ${path}`).values()) {
      const [{ method, path }] = choice as [Endpoint];
      const templated = path.replaceAll(/:(\w+)/g, '{$1}');
      paths[templated] = { ...paths[templated], [method]: operation(tag, choice) };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gatehouse',
      version,
      description: 'Generated from the declared endpoints. `/v1/…` answers as `/api/…`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: Object.keys(groups).map((name) => ({ name })),
    paths,
    components: {
      schemas: { Problem: PROBLEM },
      examples: PROBLEM_EXAMPLES,
      securitySchemes: {
        access_token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        api_key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
  };
}

function operation(tag: string, choice: readonly Endpoint[]): Json {
  const [endpoint] = choice as [Endpoint];
  const { method, path, permission, orgPermission, fresh, secondFactor } = endpoint;
  const parameters = [
    ...(orgPermission && path.includes(':org_id') ? parametersOf(z.object({ org_id: z.uuid() }), 'path') : []),
    ...parametersOf(endpoint.params, 'path'),
    ...parametersOf(endpoint.query, 'query'),
    ...(endpoint.idempotent ? [parameter('Idempotency-Key', 'header', { type: 'string', maxLength: 255 }, false)] : []),
  ];
  const description = descriptionOf(choice);
  return {
    tags: [tag],
    operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary: endpoint.summary,
    ...(description ? { description } : {}),
    'x-permission': permission,
    ...(fresh ? { 'x-fresh-proof': true } : {}),
    ...(secondFactor ? { 'x-second-factor': true } : {}),
    security: securityOf(choice),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...bodyOf(choice),
    responses: { ...successes(choice), ...problemResponses(choice.flatMap(codesOf)) },
  };
}

function descriptionOf(choice: readonly Endpoint[]): string {
  const [{ fresh, secondFactor }] = choice as [Endpoint];
  const proofs = [
    ...(secondFactor ? ['a sign-in with a second factor (else 403 `auth.second_factor_required`)'] : []),
    ...(fresh ? ['a proof of who you are that is not older than ten minutes (else 403 `auth.reauth_required`)'] : []),
  ];
  const texts = choice.map(({ summary, description }) =>
    choice.length > 1 ? `- ${[summary, description].filter(Boolean).join('. ')}` : description,
  );
  const needed = proofs.length > 0 ? `Needs ${proofs.join(', and ')}: \`POST /api/auth/reauthenticate\`.` : '';
  const either = choice.length > 1 ? 'As the deployment chose, one of:\n' : '';
  return [`${either}${texts.filter(Boolean).join('\n')}`, needed].filter(Boolean).join('\n\n');
}

function securityOf(choice: readonly Endpoint[]): Json[] {
  if (choice.every(({ permission }) => permission === 'public')) return [];
  return [{ access_token: [] }, ...(choice.some(({ permission }) => permission === 'public') ? [{}] : [])];
}

function bodyOf(choice: readonly Endpoint[]): Json {
  const bodies = distinct(choice.flatMap(({ body }) => body ?? []));
  if (bodies.length === 0) return {};
  return {
    requestBody: { required: true, content: { 'application/json': contentOf(bodies, 'input', subjectOf(choice)) } },
  };
}

function successes(choice: readonly Endpoint[]): Json {
  const entries = choice.flatMap(({ answers }) => Object.entries(answers));
  const byStatus = Map.groupBy(entries, ([status]) => status);
  const responses = [...byStatus].map(([status, answers]) => {
    const schemas = distinct(answers.map(([, schema]) => schema));
    const meta = Object.assign({}, ...schemas.map((schema) => schema.meta() ?? {})) as AnswerMeta;
    const told = Object.entries(meta.headers ?? {}).map(([name, text]) => [name, header(text)]);
    const bodies = schemas.filter((schema) => !isEmpty(schema));
    const content = { [meta.mediaType ?? 'application/json']: contentOf(bodies, 'output', subjectOf(choice)) };
    const answer = {
      description: STATUS_CODES[status] ?? 'Success',
      headers: {
        'X-Request-Id': header('Names the request in logs and in the audit log'),
        ...Object.fromEntries(told),
      },
      ...(bodies.length > 0 ? { content } : {}),
    };
    return [status, answer];
  });
  return Object.fromEntries(responses);
}

/** What an operation is about: in its path the part before the last id, organizations aside, or else the last part. */
function subjectOf([endpoint]: readonly Endpoint[]): string {
  const parts = endpoint?.path.split('/') ?? [];
  const id = parts.findLastIndex((part) => part.startsWith(':') && part !== ':org_id');
  return (id > 0 ? parts[id - 1] : parts.findLast((part) => part && !part.startsWith(':'))) ?? '';
}

const isEmpty = (schema: z.ZodType) => schema instanceof z.ZodVoid || schema instanceof z.ZodUndefined;

/** Schemas that read the same, once. */
function distinct(schemas: readonly z.ZodType[]): z.ZodType[] {
  const byText = new Map(schemas.map((schema) => [JSON.stringify(schemaOf(schema, 'input')), schema]));
  return [...byText.values()];
}

function contentOf(schemas: readonly z.ZodType[], io: 'input' | 'output', about: string): Json {
  const [first, ...others] = schemas.map((schema) => schemaOf(schema, io));
  const examples: Examples = {};
  for (const schema of schemas)
    for (const [name, value] of Object.entries(examplesOf(schema, io, about)))
      examples[name in examples ? `${name}_${Object.keys(examples).length + 1}` : name] = { value };
  return { schema: others.length > 0 ? { anyOf: [first, ...others] } : first, examples };
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  const examples = where === 'path' ? (Object.values(examplesOf(schema, 'input'))[0] as Json) : {};
  return Object.entries(properties).map(([name, value]) => ({
    ...parameter(name, where, value, required.includes(name)),
    ...(name in examples ? { example: examples[name] } : {}),
  }));
}

function parameter(name: string, where: string, schema: Json, required: boolean): Json {
  return { name, in: where, required, schema };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema._zod.def.type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
      // Said elsewhere: examples beside the schema, the others in the answer's headers and media type.
      for (const name of ['example', 'examples', 'headers', 'mediaType'] as const)
        delete (jsonSchema as Record<string, unknown>)[name];
    },
  });
  return json;
}
