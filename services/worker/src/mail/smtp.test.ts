import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ensureCertificates } from '../../../../dev/src/certificates.ts';
import { failureOf } from '../jobs/failure.ts';
import { type SmtpSettings, smtpTransport } from './smtp.ts';

let sink: MailSink;
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-smtp-'));
beforeAll(async () => {
  sink = await mailSink();
});
beforeEach(() => {
  sink.clear();
  sink.behave('accept');
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await sink.close();
});

const mail = {
  from: 'Gatehouse <no-reply@gatehouse.test>',
  to: 'ada@example.test',
  subject: 'Hello',
  text: 'Hello\n',
  html: '<p>Hello</p>',
  messageId: '<1@gatehouse.test>',
  jobId: '1',
};
let commits = 0;
const sending = { signal: new AbortController().signal, commit: async () => void commits++ };
const transport = (settings: Partial<SmtpSettings> = {}) =>
  smtpTransport({ host: sink.host, port: sink.port, security: 'none', timeoutMs: 1_000, ...settings });
/** What the failure of a sending means. */
const failing = (settings: Partial<SmtpSettings> = {}, overrides: Partial<typeof mail> = {}) =>
  transport(settings)
    .send({ ...mail, ...overrides }, sending)
    .then(
      () => ({ kind: 'none' }),
      (error: unknown) => failureOf(error, false),
    );

test('a mail has both forms, one recipient and the message id it was given, and is committed once', async () => {
  commits = 0;
  await transport().send(mail, sending);
  const received = await sink.waitFor(() => true);
  expect(received.to).toEqual(['ada@example.test']);
  expect(received.parsed.html).toContain('<p>Hello</p>');
  expect(received.parsed.text).toBe('Hello\n');
  expect(received.parsed.headers.get('auto-submitted')).toBe('auto-generated');
  expect(received.parsed.messageId).toBe('<1@gatehouse.test>');
  expect(commits).toBe(1);
});

test('S018: an address that carries a header or a second address sends to nobody else', async () => {
  for (const to of ['ada@example.test\r\nBcc: evil@example.test', 'ada@example.test, evil@example.test'])
    await failing({}, { to });
  for (const received of sink.mails) {
    expect(received.to.join()).not.toContain('evil@example.test,');
    expect(received.raw).not.toMatch(/^Bcc:/im);
    expect(received.to).toHaveLength(1);
  }
});

test('S018: a subject with a line break adds no header', async () => {
  await transport().send({ ...mail, subject: 'Hello\r\nBcc: evil@example.test\r\n\r\nbody' }, sending);
  const { raw, to } = await sink.waitFor(() => true);
  expect(to).toEqual(['ada@example.test']);
  expect(raw).not.toMatch(/^Bcc:/im);
});

test('a server that does not offer the TLS that the setting asks for gets no mail', async () => {
  expect(await failing({ security: 'starttls' })).toMatchObject({ kind: 'temporary' });
  expect(await failing({ security: 'tls' })).toMatchObject({ kind: 'temporary' });
  expect(sink.mails).toHaveLength(0);
});

describe('a server with a certificate and accounts', () => {
  const account = { user: 'gatehouse', password: 'p4ss' };
  async function secured(implicit: boolean) {
    const paths = await ensureCertificates(folder, ['127.0.0.1']);
    const [key, cert, ca] = [paths.key, paths.certificate, paths.ca].map((path) => readFileSync(path, 'utf8'));
    const server = await mailSink({ tls: { key: key ?? '', cert: cert ?? '', implicit }, auth: account });
    return { server, settings: { host: server.host, port: server.port, ca } };
  }

  test.each([
    ['starttls', false],
    ['tls', true],
  ] as const)('gets the mail by %s, encrypted and signed in', async (security, implicit) => {
    const { server, settings } = await secured(implicit);
    await transport({ ...settings, security, ...account }).send(mail, sending);
    const received = await server.waitFor(() => true);
    expect(received).toMatchObject({ secure: true, user: 'gatehouse', to: ['ada@example.test'] });

    // The certificate of somebody else, and a wrong password: our own settings, so it is tried again, and said.
    expect(await failing({ ...settings, ca: undefined, security, ...account })).toMatchObject({ kind: 'temporary' });
    expect(await failing({ ...settings, security, ...account, password: 'wrong' })).toEqual({
      kind: 'temporary',
      ours: true,
    });
    expect(server.mails).toHaveLength(1);
    await server.close();
  });
});

describe('what became of a mail', () => {
  test('one that is refused for good is not tried again, one that is deferred is', async () => {
    sink.behave('refuse');
    expect(await failing()).toMatchObject({ kind: 'permanent' });
    sink.behave('defer');
    expect(await failing()).toMatchObject({ kind: 'temporary' });
  });

  test.each(['reset', 'accept-then-reset', 'hang'] as const)(
    'F29: is unknown when the server had the content and gave no answer: %s',
    async (behaviour) => {
      sink.behave(behaviour);
      expect(await failing({ timeoutMs: 200 })).toMatchObject({ kind: 'unknown' });
    },
  );

  test('is known when nobody listens, or nobody says anything', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    expect(await failing({ port, timeoutMs: 100 })).toMatchObject({ kind: 'temporary' });
    await new Promise((resolve) => silent.close(resolve));
    expect(await failing({ port })).toMatchObject({ kind: 'temporary' });
  });

  test('F28: a server that drips its answer never falls silent, and is left when the attempt has had its time', async () => {
    sink.behave('drip', 20);
    const ending = new AbortController();
    const sent = transport({ timeoutMs: 500 }).send(mail, { ...sending, signal: ending.signal });
    const early = await Promise.race([
      sent.catch(() => 'ended'),
      new Promise((end) => setTimeout(end, 1_000, 'going on')),
    ]);
    expect(early).toBe('going on');
    ending.abort();
    await expect(sent).rejects.toThrow();
  });
});

test('a mail that must not be sent any more is not: the refused commit is what the caller sees', async () => {
  const refused = new Error('another attempt has begun');
  const commit = () => Promise.reject(refused);
  await expect(transport().send(mail, { ...sending, commit })).rejects.toBe(refused);
  expect(sink.connections()).toBeGreaterThan(0);
  expect(sink.mails).toHaveLength(0);
});
