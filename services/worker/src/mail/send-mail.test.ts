import { MAIL_SECRET, Mail } from '@gatehouse/contracts/jobs';
import { deriveKey, deriveSealingKeys, seal } from '@gatehouse/kit/crypto';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { failureOf } from '../jobs/failure.ts';
import { SAMPLES } from './samples.ts';
import { sendMail } from './send-mail.ts';
import { smtpTransport } from './smtp.ts';

let sink: MailSink;
beforeAll(async () => {
  sink = await mailSink();
});
beforeEach(() => sink.clear());
afterAll(() => sink.close());

const OLD = 'the key that was used until yesterday';
const NEW = 'the key that is used from today on';
const sealed = (secret: string, key = NEW) => seal(deriveKey(key, MAIL_SECRET.purpose), secret, MAIL_SECRET.aad);
const ID = '01a1faf8-50d8-7528-a0de-e3b97cac6920';
const send = (payload: Mail, secret: Buffer | null) =>
  sendMail(
    {
      clock: () => new Date('2026-11-21T12:00:00Z'),
      transport: smtpTransport({ host: sink.host, port: sink.port, security: 'none' }),
      mailKeys: deriveSealingKeys(NEW, OLD, MAIL_SECRET.purpose),
      publicUrl: 'https://gatehouse.test',
      from: 'Gatehouse <no-reply@gatehouse.test>',
    },
    {
      id: ID,
      payload: Mail.parse(payload),
      secret,
      signal: new AbortController().signal,
      commit: async () => undefined,
    },
  );

describe('S018: what people call themselves and write', () => {
  const evil = `Eve\r\nBcc: evil@example.test\r\n\r\n<a href=//evil>x</a>{{7*7}}\${7*7}\u202e`;
  const harmless = `<a href=//evil>x</a>{{7*7}}\${7*7}`;

  test.each(Object.keys(SAMPLES) as (keyof typeof SAMPLES)[])(
    'adds nothing to the raw mail of %s',
    async (template) => {
      await send(SAMPLES[template](evil), sealed('secret'));

      const { raw, to, parsed } = await sink.waitFor(() => true);
      expect(to).toEqual(['ada@example.test']);
      expect([...parsed.headers.keys()].sort()).toEqual([
        'auto-submitted',
        'content-type',
        'date',
        'from',
        'message-id',
        'mime-version',
        'subject',
        'to',
      ]);
      expect(raw.slice(0, raw.indexOf('\r\n\r\n'))).not.toMatch(/evil|^Bcc:/im);
      expect(parsed.text).toContain(harmless);
      expect(parsed.html).not.toContain('<a href=//evil');
      expect(`${parsed.subject}`).not.toContain('Eve');
    },
  );
});

test('the message id is the job’s, and the secret is in the mail alone', async () => {
  await send(SAMPLES.code('Ada'), sealed('482915'));
  const { raw, parsed } = await sink.waitFor(() => true);
  expect(parsed.messageId).toBe(`<${ID}@gatehouse.test>`);
  expect(parsed.text).toContain('    482915\n');
  expect(raw.slice(0, raw.indexOf('\r\n\r\n'))).not.toContain('482915');
});

test('a mail whose secret was sealed with the key before is sent; with a key of somebody else it never is', async () => {
  await send(SAMPLES['password-reset']('Ada'), sealed('s3cret', OLD));
  expect((await sink.waitFor(() => true)).parsed.text).toContain('#token=s3cret');
  for (const secret of [sealed('s3cret', 'another key'), null]) {
    const error = await send(SAMPLES['password-reset']('Ada'), secret).catch((caught: unknown) => caught);
    expect(failureOf(error, false)).toMatchObject({ kind: 'permanent' });
  }
  expect(sink.mails).toHaveLength(1);
});

test('a mail past its time is not sent', async () => {
  const mail = { ...SAMPLES.code('Ada'), expires_at: '2026-11-21T12:00:00.000Z' };
  expect(await send(mail, sealed('482915'))).toBe('expired');
  expect(sink.mails).toEqual([]);
});

test('a mail to an address that cannot exist is written and not handed over', async () => {
  for (const to of ['someone@synthetic.invalid', 'someone@SYNTHETIC.Invalid', 'someone@invalid']) {
    const sent = send({ ...SAMPLES.code('Ada'), to }, sealed('482915'));
    expect([to, await sent]).toEqual([to, 'withheld']);
  }
  await expect(send({ ...SAMPLES.code('Ada'), to: 'x@synthetic.invalid' }, null)).rejects.toThrow();
  expect(sink.mails).toEqual([]);
  for (const to of ['ada@notinvalid', 'ada@invalid.example.test'])
    expect(await send({ ...SAMPLES.code('Ada'), to }, sealed('1'))).toBe('success');
});
