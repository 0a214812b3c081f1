import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTransport } from 'nodemailer';
import { type Mailbox, startMailbox } from './src/mailbox.ts';
import { freePorts } from './src/settings.ts';

const dir = mkdtempSync(join(tmpdir(), 'gatehouse-mailbox-'));
let mailbox: Mailbox;
let web: string;
let options: { smtpPort: number; webPort: number; file: string };

beforeAll(async () => {
  const [smtpPort = 0, webPort = 0] = await freePorts(2);
  options = { smtpPort, webPort, file: join(dir, 'mailbox.json') };
  mailbox = await startMailbox(options);
  web = `http://127.0.0.1:${webPort}`;
});
afterAll(async () => {
  await mailbox.stop();
  rmSync(dir, { recursive: true });
});

const deliver = (mail: { to: string; subject: string; text: string; html?: string }) =>
  createTransport({ host: '127.0.0.1', port: options.smtpPort, ignoreTLS: true }).sendMail({
    from: 'Gatehouse <no-reply@localhost>',
    ...mail,
  });
// Each request on a connection of its own: one test restarts the server.
const ask = (path: string, init: RequestInit = {}) =>
  fetch(`${web}${path}`, { ...init, headers: { connection: 'close', ...init.headers } });
const list = async (query = '') =>
  ((await (await ask(`/api/messages${query}`)).json()) as { data: { id: string }[] }).data;

test('mail is listed newest first, and by recipient', async () => {
  await deliver({ to: 'one@gatehouse.test', subject: 'First', text: 'Hello' });
  await deliver({ to: 'two@gatehouse.test', subject: 'Grüße', text: 'Servus', html: '<p>Servus</p>' });

  expect(await list()).toMatchObject([{ subject: 'Grüße' }, { subject: 'First' }]);
  expect(await list('?to=TWO@gatehouse.test')).toEqual([
    expect.objectContaining({
      to: ['two@gatehouse.test'],
      text: expect.stringContaining('Servus'),
      html: '<p>Servus</p>',
    }),
  ]);
});

test('links in the text and in the HTML of a mail open in a tab of their own', async () => {
  const link = 'https://localhost:8443/unlock#token=a%26b';
  await deliver({ to: 'x@gatehouse.test', subject: 'Link', text: `See ${link} now`, html: `<a href="${link}">x</a>` });

  const page = await (await ask(`/messages/${(await list())[0]?.id}`)).text();

  expect(page).toContain(`<a href="${link}" target="_blank" rel="noreferrer">${link}</a> now`);
  expect(page).toContain('sandbox="allow-popups allow-popups-to-escape-sandbox"');
  expect(page).toContain('srcdoc="&lt;base target=&quot;_blank&quot;&gt;');
});

test('a mail cannot run anything in the page that shows it', async () => {
  const html = '<script>alert(1)</script>"><img src=x onerror=alert(1)>';
  await deliver({ to: 'x@gatehouse.test', subject: '<script>alert(2)</script>', text: '<b>text</b>', html });
  const id = (await list())[0]?.id;

  const response = await ask(`/messages/${id}`);
  const page = await response.text();

  expect(page).not.toContain('<script>');
  expect(page).toContain('&lt;b&gt;text&lt;/b&gt;');
  expect(page).toContain('&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;');
  for (const [, rights] of page.matchAll(/sandbox="([^"]*)"/g)) expect(rights).not.toMatch(/script|origin|forms|top/);
  expect(page.match(/<iframe/g)?.length).toBe(page.match(/sandbox="/g)?.length);
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
});

test('another site cannot read or empty it through a browser', async () => {
  const { webPort: port } = options;
  const status = await new Promise<number>((resolve) => {
    request({ port, host: '127.0.0.1', path: '/api/messages', headers: { host: 'evil.test' } }, (answer) =>
      resolve(answer.resume().statusCode ?? 0),
    ).end();
  });
  const emptied = await ask('/api/messages', { method: 'DELETE', headers: { origin: 'https://evil.test' } });

  expect([status, emptied.status]).toEqual([421, 405]);
});

test('it keeps the mail over a restart, until somebody empties it', async () => {
  const before = await list();
  await mailbox.stop();
  mailbox = await startMailbox(options);

  expect(before.length).toBeGreaterThan(0);
  expect(await list()).toEqual(before);
  await ask('/api/messages', { method: 'DELETE' });
  expect(await list()).toEqual([]);
});
