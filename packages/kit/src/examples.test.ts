import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { examplesOf } from './examples.ts';
import { pageOf } from './page.ts';
import { line } from './text.ts';

test('every field is filled, by its name or its format, and what is answered is what the schema makes of it', () => {
  const Row = z.object({
    id: z.uuid(),
    email: z.email(),
    name: line(20),
    role: z.enum(['owner', 'viewer']),
    note: z.string().max(5).nullable(),
    seen: z.boolean().optional(),
    created_at: z.date().transform((time) => time.toISOString()),
    expires_at: z.iso.datetime(),
  });
  const { example } = examplesOf(pageOf(Row), 'output') as { example: { data: unknown[] } };
  expect(example.data).toEqual([
    {
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      email: 'vera@acme.example',
      name: 'Vera',
      role: 'owner',
      note: 'note',
      seen: true,
      created_at: '2026-03-02T09:30:00.000Z',
      expires_at: '2026-03-09T09:30:00.000Z',
    },
  ]);
  expect(examplesOf(pageOf(Row), 'output')).toEqual({ example });
});

test('a union has an example for each member, by what tells them apart', () => {
  const Answer = z.union([
    z.object({ access_token: z.string(), token_type: z.literal('bearer') }),
    z.object({ second_factor_required: z.literal(true), methods: z.array(z.enum(['totp', 'email'])) }),
  ]);
  expect(Object.keys(examplesOf(Answer, 'output'))).toEqual(['bearer', 'second_factor_required']);

  const Body = z.strictObject({
    proof: z.discriminatedUnion('method', [
      z.strictObject({ method: z.literal('totp'), code: z.string().regex(/^\d{6}$/) }),
      z.strictObject({ method: z.literal('password'), password: z.string() }),
    ]),
  });
  expect(examplesOf(Body, 'input')).toEqual({
    totp: { proof: { method: 'totp', code: '492871' } },
    password: { proof: { method: 'password', password: expect.any(String) } },
  });
});

test('a switch is shown off, and on', () => {
  const Body = z.strictObject({ email: z.email(), session: z.literal('cookie').optional() });
  const email = 'vera@acme.example';
  expect(examplesOf(Body, 'input')).toEqual({ example: { email }, cookie: { email, session: 'cookie' } });
});

test('two shapes of which the first swallows the second are told apart, or it is said', () => {
  const loose = z.union([z.object({ id: z.string() }), z.object({ id: z.string(), more: z.string() })]);
  expect(() => examplesOf(loose, 'output')).toThrow('more');
});

test('what nobody could guess is told by the schema, and must be right', () => {
  const Plate = z.string().regex(/^[A-Z]{2}-\d{3}$/);
  expect(() => examplesOf(z.object({ plate: Plate }), 'input')).toThrow('no example for plate');
  expect(examplesOf(z.object({ plate: Plate.meta({ example: 'AB-123' }) }), 'input')).toEqual({
    example: { plate: 'AB-123' },
  });
  const both = z.object({ plate: Plate.meta({ examples: ['AB-123', 'CD-456'] }) });
  expect(Object.values(examplesOf(both, 'input'))).toEqual([{ plate: 'AB-123' }, { plate: 'CD-456' }]);
  expect(() => examplesOf(z.object({ plate: Plate.meta({ example: 'wrong' }) }), 'input')).toThrow('refused');
});
