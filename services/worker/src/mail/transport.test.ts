import { createServer } from 'node:net';
import { type MailSink, mailSink } from '@gatehouse/testkit/mail';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { smtpTransport } from './transport.ts';

let sink: MailSink;
beforeAll(async () => {
  sink = await mailSink();
});
afterAll(() => sink.close());

const mail = {
  from: 'Gatehouse <no-reply@gatehouse.test>',
  to: 'ada@example.test',
  subject: 'Hello',
  text: 'Hello\n',
  html: '<p>Hello</p>',
  messageId: '<1@gatehouse.test>',
};

test('a mail has both forms, one recipient and the message id it was given', async () => {
  await smtpTransport({ host: sink.host, port: sink.port, security: 'none' }).send(mail);
  const received = await sink.waitFor(() => true);
  expect(received.to).toEqual(['ada@example.test']);
  expect(received.parsed.html).toContain('<p>Hello</p>');
  expect(received.parsed.text).toBe('Hello\n');
  expect(received.parsed.headers.get('auto-submitted')).toBe('auto-generated');
  expect(received.parsed.messageId).toBe('<1@gatehouse.test>');
});

test('S018: an address that carries a header or a second address sends to nobody else', async () => {
  sink.clear();
  const transport = smtpTransport({ host: sink.host, port: sink.port, security: 'none' });
  for (const to of ['ada@example.test\r\nBcc: evil@example.test', 'ada@example.test, evil@example.test'])
    await transport.send({ ...mail, to }).catch(() => undefined);
  for (const received of sink.mails) {
    expect(received.to.join()).not.toContain('evil@example.test,');
    expect(received.raw).not.toMatch(/^Bcc:/im);
    expect(received.to).toHaveLength(1);
  }
});

test('a server that does not offer the TLS that the setting asks for gets no mail', async () => {
  sink.clear();
  await expect(smtpTransport({ host: sink.host, port: sink.port, security: 'starttls' }).send(mail)).rejects.toThrow();
  await expect(smtpTransport({ host: sink.host, port: sink.port, security: 'tls' }).send(mail)).rejects.toThrow();
  expect(sink.mails).toHaveLength(0);
});

test('a server that says nothing is given up after the timeout', async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const transport = smtpTransport({ host: '127.0.0.1', port, security: 'none', timeoutMs: 100 });
  await expect(transport.send(mail)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  silent.close();
});
