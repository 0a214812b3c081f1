import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';
import { z } from 'zod';
import type { Endpoint } from './endpoint.ts';

type Json = Record<string, unknown>;

const ALWAYS: readonly ErrorCode[] = ['request.invalid', 'rate_limited', 'internal', 'dependency_unavailable'];

const PROBLEM: Json = {
  type: 'object',
  description: 'RFC 9457 problem details',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(ERRORS) },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { pointer: { type: 'string' }, message: { type: 'string' } } },
    },
  },
};

/** The OpenAPI 3.1 document of declared endpoints, grouped by the process that answers them. */
export function openApiDocument(groups: Record<string, readonly Endpoint[]>, version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [tag, endpoints] of Object.entries(groups))
    for (const endpoint of endpoints) {
      if (endpoint.permission === 'internal') continue;
      const path = endpoint.path.replaceAll(/:(\w+)/g, '{$1}');
      paths[path] = { ...paths[path], [endpoint.method]: operation(tag, endpoint) };
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
      examples: Object.fromEntries(
        (Object.keys(ERRORS) as ErrorCode[]).map((code) => [code, { value: exampleOf(code) }]),
      ),
      securitySchemes: {
        access_token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        api_key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
  };
}

function operation(tag: string, endpoint: Endpoint): Json {
  const { method, path, permission, orgPermission } = endpoint;
  const parameters = [
    ...(orgPermission && path.includes(':org_id')
      ? [parameter('org_id', 'path', { type: 'string', format: 'uuid' }, true)]
      : []),
    ...parametersOf(endpoint.params, 'path'),
    ...parametersOf(endpoint.query, 'query'),
    ...(endpoint.idempotent ? [parameter('Idempotency-Key', 'header', { type: 'string', maxLength: 255 }, false)] : []),
  ];
  return {
    tags: [tag],
    operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary: endpoint.summary,
    ...(endpoint.description ? { description: endpoint.description } : {}),
    'x-permission': permission,
    security: permission === 'public' ? [] : [{ access_token: [] }],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(endpoint.body
      ? {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(endpoint.body, 'input') } },
          },
        }
      : {}),
    responses: { ...successes(endpoint), ...problems(endpoint) },
  };
}

function successes({ answers }: Endpoint): Json {
  const entries = Object.entries(answers).map(([status, schema]) => {
    const json = schemaOf(schema, 'output');
    const empty = schema instanceof z.ZodVoid || schema instanceof z.ZodUndefined;
    return [
      status,
      { description: 'Success', ...(empty ? {} : { content: { 'application/json': { schema: json } } }) },
    ];
  });
  return Object.fromEntries(entries);
}

function problems({ permission, errors, body, idempotent }: Endpoint): Json {
  const codes = new Set<ErrorCode>([
    ...ALWAYS,
    ...errors,
    ...(permission === 'public' ? [] : (['auth.required', 'access.denied', 'not_found'] as const)),
    ...(body ? (['request.malformed', 'request.too_large', 'request.unsupported_media_type'] as const) : []),
    ...(idempotent ? (['idempotency.in_progress', 'idempotency.mismatch'] as const) : []),
  ]);
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  const entries = [...byStatus].map(([status, grouped]) => {
    const examples = Object.fromEntries(grouped.map((code) => [code, { $ref: `#/components/examples/${code}` }]));
    const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples } };
    return [status, { description: grouped.map((code) => ERRORS[code].title).join('; '), content }];
  });
  return Object.fromEntries(entries);
}

function exampleOf(code: ErrorCode): Json {
  const { status, title } = ERRORS[code];
  const type = `urn:gatehouse:problem:${code}`;
  return { type, title, status, detail: title, code, request_id: '0190f2a7c1d27cc0a3f1b2c3d4e5f607' };
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, value]) => parameter(name, where, value, required.includes(name)));
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
    },
  });
  return json;
}
