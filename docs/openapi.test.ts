import { ERRORS } from '@gatehouse/contracts/errors';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import { examplesOf } from '@gatehouse/kit/examples';
import { openApiDocument } from '@gatehouse/kit/openapi';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { ENDPOINTS } from './endpoints.ts';

interface Content {
  schema: Record<string, unknown>;
  examples?: Record<string, { value?: unknown; $ref?: string }>;
}
interface Operation {
  description?: string;
  parameters?: { name: string; in: string; example?: unknown }[];
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, { description: string; headers?: unknown; content?: Record<string, Content> }>;
  'x-fresh-proof'?: boolean;
  'x-second-factor'?: boolean;
}
type Paths = Record<string, Record<string, Operation>>;

const made = openApiDocument(ENDPOINTS, '1.2.3');
const document = JSON.parse(JSON.stringify(made)) as {
  paths: Paths;
  components: { schemas: { Problem: Record<string, unknown> }; examples: Record<string, { value: { code: string } }> };
};
const declared = Object.values(ENDPOINTS)
  .flat()
  .filter(({ permission }) => permission !== 'internal');
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
);
const operationOf = ({ method, path }: Endpoint) => {
  const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method];
  if (!operation) throw new Error(`no operation for ${method} ${path}`);
  return operation;
};

/** Every content of the document with what it belongs to. */
const contents = operations.flatMap(({ name, operation }) => [
  ...Object.values(operation.requestBody?.content ?? {}).map((content) => ({ name: `${name} body`, content })),
  ...Object.entries(operation.responses).flatMap(([status, { content }]) =>
    Object.values(content ?? {}).map((one) => ({ name: `${name} ${status}`, content: one })),
  ),
]);

test('every declared endpoint is there with every status that it answers, also where that has no content', () => {
  for (const endpoint of declared)
    expect(Object.keys(operationOf(endpoint).responses)).toEqual(expect.arrayContaining(Object.keys(endpoint.answers)));
  expect(operations.length).toBeGreaterThanOrEqual(50);
});

test('every body and every answer with content has an example that its own published schema accepts', () => {
  const wrong: unknown[] = [];
  for (const { name, content } of contents) {
    const examples = Object.entries(content.examples ?? {});
    if (examples.length === 0) wrong.push(`${name}: no example`);
    for (const [title, { value, $ref }] of examples) {
      if ($ref) continue;
      const { success, error } = z.fromJSONSchema(content.schema).safeParse(value);
      if (!success) wrong.push({ name, title, value, why: z.prettifyError(error) });
    }
  }
  expect(wrong).toEqual([]);
});

test('every example of a body is taken by the endpoint that declares it', () => {
  for (const { method, path, body } of declared)
    for (const [title, value] of Object.entries(body ? examplesOf(body, 'input') : {}))
      expect([method, path, title, body?.safeParse(value).error?.issues]).toEqual([method, path, title, undefined]);
});

test('every problem that an operation answers with has its example, and every code has one', () => {
  const { examples, schemas } = document.components;
  expect(Object.keys(examples).sort()).toEqual(Object.keys(ERRORS).sort());
  const problem = z.fromJSONSchema(schemas.Problem);
  for (const [code, { value }] of Object.entries(examples)) {
    expect(value.code).toBe(code);
    expect(problem.safeParse(value).success).toBe(true);
  }
  for (const endpoint of declared)
    for (const code of endpoint.errors) {
      const named = operationOf(endpoint).responses[ERRORS[code].status]?.content?.['application/problem+json'];
      expect(named?.examples?.[code]).toEqual({ $ref: `#/components/examples/${code}` });
    }
});

test('an endpoint that asks for a proof says so, names the code, and the example says how to give it', () => {
  const asking = declared.filter(({ fresh, secondFactor }) => fresh || secondFactor);
  for (const endpoint of asking) {
    const operation = operationOf(endpoint);
    const forbidden = Object.keys(operation.responses['403']?.content?.['application/problem+json']?.examples ?? {});
    if (endpoint.fresh) expect(forbidden).toContain('auth.reauth_required');
    if (endpoint.secondFactor) expect(forbidden).toContain('auth.second_factor_required');
    expect(operation['x-fresh-proof'] ?? false).toBe(endpoint.fresh);
    expect(operation['x-second-factor'] ?? false).toBe(endpoint.secondFactor);
    expect(operation.description).toContain('POST /api/auth/reauthenticate');
  }
  for (const code of ['auth.reauth_required', 'auth.second_factor_required', 'org.session_too_old'])
    expect(document.components.examples[code]?.value).toMatchObject({ proof: { post: '/api/auth/reauthenticate' } });
});

test('every parameter of a path has an example', () => {
  for (const { name, operation } of operations)
    for (const parameter of operation.parameters ?? [])
      if (parameter.in === 'path')
        expect([name, parameter]).toEqual([name, expect.objectContaining({ example: expect.anything() })]);
});

test('the same declarations make the same document', () => {
  expect(JSON.stringify(openApiDocument(ENDPOINTS, '1.2.3'))).toBe(JSON.stringify(made));
});
