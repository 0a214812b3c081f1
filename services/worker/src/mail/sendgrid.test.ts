import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { failureOf } from '../jobs/failure.ts';
import { sendGridTransport } from './sendgrid.ts';

// The body of POST /v3/mail/send, as the reference of the API has it, and nothing that it does not know.
const Off = z.strictObject({ enable: z.literal(false) });
const Address = z.strictObject({ email: z.email(), name: z.string().optional() });
const Body = z.strictObject({
  personalizations: z.tuple([
    z.strictObject({ to: z.tuple([Address]), custom_args: z.strictObject({ job_id: z.string() }) }),
  ]),
  from: Address,
  subject: z.string().min(1),
  content: z.tuple([
    z.strictObject({ type: z.literal('text/plain'), value: z.string().min(1) }),
    z.strictObject({ type: z.literal('text/html'), value: z.string().min(1) }),
  ]),
  headers: z.strictObject({ 'Message-ID': z.string(), 'Auto-Submitted': z.literal('auto-generated') }),
  tracking_settings: z.strictObject({
    click_tracking: z.strictObject({ enable: z.literal(false), enable_text: z.literal(false) }),
    open_tracking: Off,
    subscription_tracking: Off,
    ganalytics: Off,
  }),
});
type Answer = (req: IncomingMessage, res: ServerResponse) => void;

const KEY = 'SG.0123456789.a-key-for-tests';
let server: Server;
let url: string;
let answer: Answer;
const received: { body: z.infer<typeof Body>; path: string | undefined }[] = [];
const accept: Answer = (_req, res) => res.writeHead(202, { 'x-message-id': 'abc' }).end();

/** What SendGrid does: checks key, path, type and body, and takes the mail. */
async function sendGrid(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const refuse = (status: number, message: string) =>
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ errors: [{ message }] }));
  if (req.headers.authorization !== `Bearer ${KEY}`)
    return void refuse(401, 'The provided authorization grant is invalid');
  if (req.method !== 'POST' || req.url !== '/v3/mail/send') return void refuse(404, 'not found');
  if (!req.headers['content-type']?.startsWith('application/json')) return void refuse(415, 'type');
  const body = Body.safeParse(JSON.parse(Buffer.concat(chunks).toString()));
  if (!body.success) return void refuse(400, body.error.message);
  received.push({ body: body.data, path: req.url });
  answer(req, res);
}

beforeAll(async () => {
  server = createServer((req, res) => void sendGrid(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  received.length = 0;
  answer = accept;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const mail = {
  from: 'Gatehouse <no-reply@gatehouse.test>',
  to: 'ada@example.test',
  subject: 'Hello {{7*7}}',
  text: 'Hello -name- {{name}} https://gatehouse.test/unlock#token=a%26b\n',
  html: '<p>Hello <a href="https://gatehouse.test/unlock#token=a%26b">x</a></p>',
  messageId: '<01a@gatehouse.test>',
  jobId: '01a',
};
const sending = { signal: new AbortController().signal, commit: async () => undefined };
const transport = (overrides: object = {}) =>
  sendGridTransport({ apiKey: KEY, apiUrl: url, timeoutMs: 300, ...overrides });
const failing = async (overrides: object = {}, other: Partial<typeof mail> = {}) => {
  const error = await transport(overrides)
    .send({ ...mail, ...other }, sending)
    .then(
      () => undefined,
      (caught: unknown) => caught,
    );
  expect(error).toBeInstanceOf(Error);
  // Neither the key nor the mail may get into logs or reports by way of an error.
  const shown = JSON.stringify(error, Object.getOwnPropertyNames(error)) + (error as Error).stack;
  for (const hidden of [KEY, 'ada@example.test', '#token=']) expect(shown).not.toContain(hidden);
  return failureOf(error, false);
};

test('a mail is what the v3 API asks for: one recipient, our message id, the id of the job, no tracking', async () => {
  await transport().send(mail, sending);
  expect(received).toHaveLength(1);
  const { body } = received[0] as (typeof received)[0];
  expect(body).toMatchObject({
    from: { email: 'no-reply@gatehouse.test', name: 'Gatehouse' },
    personalizations: [{ to: [{ email: 'ada@example.test' }], custom_args: { job_id: '01a' } }],
    subject: 'Hello {{7*7}}',
    headers: { 'Message-ID': '<01a@gatehouse.test>' },
  });
  expect(body.content.map(({ value }) => value)).toEqual([mail.text, mail.html]);
});

test('an address of ours without a name is sent without one', async () => {
  await transport().send({ ...mail, from: 'no-reply@gatehouse.test' }, sending);
  expect(received[0]?.body.from).toEqual({ email: 'no-reply@gatehouse.test' });
});

test('S018: an address that carries a header or a second address sends to nobody else', async () => {
  for (const to of ['ada@example.test\r\nBcc: evil@example.test', 'ada@example.test, evil@example.test'])
    await transport()
      .send({ ...mail, to }, sending)
      .catch(() => undefined);
  expect(received).toEqual([]);
});

test('a mail that must not be sent any more is not', async () => {
  const refused = new Error('another attempt has begun');
  await expect(transport().send(mail, { ...sending, commit: () => Promise.reject(refused) })).rejects.toBe(refused);
  expect(received).toEqual([]);
});

describe('what became of a mail', () => {
  test.each([
    [400, { kind: 'permanent' }],
    [413, { kind: 'permanent' }],
    [401, { kind: 'temporary', ours: true }],
    [403, { kind: 'temporary', ours: true }],
    [404, { kind: 'temporary', ours: true }],
    [301, { kind: 'temporary', ours: true }],
    [429, { kind: 'temporary', ours: false }],
    [500, { kind: 'temporary', ours: false }],
    [503, { kind: 'temporary', ours: false }],
  ])('after %i', async (status, failure) => {
    answer = (_req, res) => res.writeHead(status, { location: '/elsewhere' }).end('{"errors":[{"message":"no"}]}');
    expect(await failing()).toMatchObject(failure);
    expect(received).toHaveLength(1);
  });

  test('the time that the provider asks for is kept, as seconds and as a date', async () => {
    answer = (_req, res) => res.writeHead(429, { 'retry-after': '7' }).end();
    expect(await failing()).toMatchObject({ kind: 'temporary', retryAfterMs: 7_000 });
    answer = (_req, res) => res.writeHead(503, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }).end();
    const { retryAfterMs = 0 } = await failing();
    expect(Math.round(retryAfterMs / 10_000)).toBe(6);
  });

  test('with another key than ours nothing is taken, and it is said to be our fault', async () => {
    expect(await failing({ apiKey: 'SG.wrong' })).toMatchObject({ kind: 'temporary', ours: true });
    expect(received).toEqual([]);
  });

  test('it is unknown when the answer does not come or breaks off, and known when nobody was there', async () => {
    answer = () => undefined;
    expect(await failing()).toMatchObject({ kind: 'unknown' });
    answer = (req) => req.socket.destroy();
    expect(await failing()).toMatchObject({ kind: 'unknown' });
    expect(await failing({ apiUrl: 'http://127.0.0.1:1' })).toMatchObject({ kind: 'temporary' });
  });

  test('F28: an answer that drips is left when the attempt has had its time', async () => {
    answer = (_req, res) => {
      res.writeHead(202, { 'content-type': 'application/json' });
      const timer = setInterval(() => res.write(' '), 50);
      res.on('close', () => clearInterval(timer));
    };
    const signal = AbortSignal.timeout(800);
    await expect(transport().send(mail, { ...sending, signal })).rejects.toThrow('gave no answer');
  });
});
