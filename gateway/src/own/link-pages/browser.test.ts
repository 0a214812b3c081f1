import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { linkPage } from './link-page.ts';
import { LINK_PAGES } from './pages.ts';
import { chromium, startBrowser, type Tab } from './test-browser.ts';

type Answer = { status: number; body?: unknown; headers?: Record<string, string> };
const requests: { method: string; url: string; body: unknown }[] = [];
let answers: Record<string, Answer> = {};
let server: Server;
let url: string;
let browser: Awaited<ReturnType<typeof startBrowser>>;
let tab: Tab;

/** Serves the pages as the gateway does, and answers what they ask. */
beforeAll(async () => {
  if (!chromium) return;
  server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    requests.push({ method: req.method ?? '', url: req.url ?? '', body: text ? JSON.parse(text) : undefined });
    const page = LINK_PAGES.find(({ path }) => path === req.url);
    if (page && req.method === 'GET') {
      const { body, headers } = linkPage(page);
      return void res.writeHead(200, headers).end(body);
    }
    const { status, body, headers = {} } = answers[req.url ?? ''] ?? { status: 404 };
    res
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(body ? JSON.stringify(body) : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await startBrowser();
  tab = browser.tab;
});
beforeEach(() => {
  requests.length = 0;
  answers = {};
  if (tab) tab.complaints.length = 0;
});
afterAll(async () => {
  await browser?.stop();
  server?.closeAllConnections();
  server?.close();
});

const status = () => tab.read<string>("document.querySelector('[role=status]').textContent");
const says = (text: string) => eventually(async () => (await status()).includes(text));
const posts = () => requests.filter(({ method }) => method === 'POST');
const focus = (name: string) => tab.read(`document.getElementById('${name}').focus()`);
const press = () => tab.read("document.querySelector('button').click()");
const errorOf = (name: string) => tab.read<string>(`document.getElementById('${name}-error').textContent`);
const problem = (code: string, rest: object = {}): Answer => ({
  status: 400,
  body: { code, detail: 'Words of the server', ...rest },
});

(chromium ? describe : describe.skip)('in a browser', () => {
  test.each(LINK_PAGES.map(({ path }) => path))(
    '%s asks nothing until its button is pressed, and keeps the token to itself',
    async (path) => {
      await tab.open(`${url}${path}#token=s3cret`);

      expect(await tab.read("document.querySelector('form').hidden")).toBe(false);
      expect(await tab.read('location.href')).toBe(`${url}${path}`);
      expect(posts()).toEqual([]);
      expect(JSON.stringify(requests)).not.toContain('s3cret');
      // The browser asks for an icon by itself, and the policy has none.
      expect(tab.complaints.filter((complaint) => !/favicon|"level":"verbose"/.test(complaint))).toEqual([]);
      await tab.open(`${url}${path}`);
      expect(await status()).toContain('not complete');
    },
  );

  test('a press posts the token once, however often it is pressed', async () => {
    answers['/api/auth/unlock'] = { status: 204 };
    await tab.open(`${url}/unlock#token=a%26b`);
    await Promise.all([press(), press(), press()]);
    await says('is open again');
    expect(posts()).toEqual([{ method: 'POST', url: '/api/auth/unlock', body: { token: 'a&b' } }]);
    expect(await tab.read("document.querySelector('form').hidden")).toBe(true);
  });

  test('a second link that is opened in the same tab counts', async () => {
    answers['/api/auth/unlock'] = { status: 204 };
    await tab.open(`${url}/unlock#token=first`);
    await tab.open(`${url}/unlock#token=second`);
    await press();
    await says('is open again');
    expect(posts().map(({ body }) => body)).toEqual([{ token: 'second' }]);
  });

  test('a link that is used up is said to be so; a server that is busy or away can be asked again', async () => {
    answers['/api/auth/unlock'] = { status: 429, body: { code: 'rate_limited' }, headers: { 'retry-after': '17' } };
    await tab.open(`${url}/unlock#token=t`);
    await press();
    await says('Try again in 17 seconds');
    answers['/api/auth/unlock'] = { status: 502 };
    await press();
    await says('Try again in a minute');
    answers['/api/auth/unlock'] = problem('auth.token_refused');
    await press();
    await says('has been used');
    expect(posts()).toHaveLength(3);
  });

  test('what is wrong with a new password is said beside the field, by keyboard alone', async () => {
    const path = '/api/auth/password/reset';
    answers[path] = problem('request.invalid', {
      errors: [{ pointer: '/new_password', message: 'is among those that attackers try first' }],
    });
    await tab.open(`${url}/reset-password#token=t`);
    await tab.press('Tab');
    expect(await tab.read('document.activeElement.id')).toBe('new_password');
    await tab.press('Enter');
    await eventually(async () => (await errorOf('new_password')).includes('fill this in'));
    await tab.type('correct horse');
    await tab.press('Tab');
    await tab.type('correct house');
    await tab.press('Enter');
    await eventually(async () => (await errorOf('repeated')).includes('not the same'));
    expect(posts()).toEqual([]);

    await tab.read("document.getElementById('repeated').value = 'correct horse'");
    await tab.press('Enter');
    await eventually(async () => (await errorOf('new_password')) === 'It is among those that attackers try first.');
    expect(await errorOf('repeated')).toBe('');
    expect(await tab.read('document.activeElement.id')).toBe('new_password');
    expect(await tab.read("document.getElementById('new_password').getAttribute('aria-invalid')")).toBe('true');
    expect(posts()[0]?.body).toEqual({ token: 't', new_password: 'correct horse' });

    answers[path] = { status: 204 };
    await tab.press('Enter');
    await says('Your new password is set');
  });

  test('S018: an invitation shows what strangers chose as text, then makes the account', async () => {
    const organization = '<img src=x onerror=document.title=1>{{7*7}}';
    answers['/api/invitations/preview'] = {
      status: 200,
      body: { organization, role: 'analyst', email: 'a•••@example.test', account_needed: true },
    };
    answers['/api/auth/register/invited'] = { status: 201, body: {} };
    await tab.open(`${url}/accept-invitation#token=t`);
    expect(await tab.read("document.getElementById('fields').hidden")).toBe(true);
    await press();
    await eventually(() => tab.read("!document.getElementById('fields').hidden"));
    expect(await tab.read("document.getElementById('intro').textContent")).toContain(`join ${organization} as analyst`);
    expect(await tab.read("document.querySelectorAll('img').length")).toBe(0);
    expect(await tab.read('document.activeElement.id')).toBe('name');
    await tab.type('Ada');
    await focus('password');
    await tab.type('correct horse battery');
    await tab.press('Enter');
    await says('you are a member');
    expect(posts().map(({ url: path, body }) => [path, body])).toEqual([
      ['/api/invitations/preview', { token: 't' }],
      ['/api/auth/register/invited', { invitation_token: 't', name: 'Ada', password: 'correct horse battery' }],
    ]);
  });

  test('an invitation to an address with an account sends there', async () => {
    answers['/api/invitations/preview'] = {
      status: 200,
      body: { organization: 'Acme', role: 'viewer', email: 'a•••@example.test', account_needed: false },
    };
    await tab.open(`${url}/accept-invitation#token=t`);
    await press();
    await says('sign in with it, and accept the invitation there');
    expect(await tab.read("document.querySelector('form').hidden")).toBe(true);
  });

  test.each([
    ['waiting', 'has to confirm it as well'],
    ['changed', 'is changed'],
  ])('a change of address that is %s is told as that', async (state, words) => {
    answers['/api/auth/email/change/confirm'] = { status: 200, body: { status: state } };
    await tab.open(`${url}/confirm-email-change#token=t`);
    await press();
    await says(words);
  });

  test('on a phone nothing is wider than the screen', async () => {
    await tab.look({ width: 320, dark: true });
    for (const { path } of LINK_PAGES) {
      await tab.open(`${url}${path}#token=t`);
      expect(await tab.read('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320);
    }
  });
});
