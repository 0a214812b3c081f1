import { createHash } from 'node:crypto';
import { PUBLIC_ROUTES } from '@gatehouse/contracts/routes';
import { describe, expect, test } from '@jest/globals';
import { linkPage } from './link-page.ts';
import { LINK_PAGES } from './pages.ts';

const headerOf = (headers: string[], name: string) => headers[headers.indexOf(name) + 1] ?? '';

test('there is a page for every link that mails carry', () => {
  expect(LINK_PAGES.map(({ path }) => path).sort()).toEqual([
    '/accept-invitation',
    '/confirm-email-change',
    '/not-me',
    '/reset-password',
    '/restore-account',
    '/unlock',
    '/verify-address',
  ]);
});

describe.each(LINK_PAGES.map((page) => [page.path, page] as const))('%s', (_path, page) => {
  const { body, headers } = linkPage(page);

  test('posts to endpoints that need no credential', () => {
    for (const endpoint of [page.endpoint, ...(page.preview ? [page.preview.endpoint] : [])])
      expect(PUBLIC_ROUTES).toContain(`POST ${endpoint}`);
  });

  test('runs and loads nothing but the script and the style in it, in nobody’s frame', () => {
    const policy = headerOf(headers, 'content-security-policy');
    const scripts = [...body.matchAll(/<script type="module">([\s\S]*?)<\/script>/g)].map(([, text]) => text ?? '');
    const styles = [...body.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, text]) => text ?? '');
    expect([scripts.length, styles.length]).toEqual([1, 1]);
    for (const text of [...scripts, ...styles])
      expect(policy).toContain(`'sha256-${createHash('sha256').update(text).digest('base64')}'`);
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(body).not.toMatch(/https?:\/\/|\son\w+=|style=|<img|<link/);
    expect(headerOf(headers, 'referrer-policy')).toBe('no-referrer');
    expect(headerOf(headers, 'cache-control')).toBe('no-store');
  });

  test('every input has its label, and the place where its mistakes are said', () => {
    for (const [, name] of body.matchAll(/<input id="(\w+)"/g)) {
      expect(body).toContain(`<label for="${name}">`);
      expect(body).toContain(`id="${name}-error"`);
      expect(body).toMatch(new RegExp(`aria-describedby="[^"]*${name}-error"`));
    }
    expect(body).toContain('<p role="status"></p>');
    expect(body).toContain('<html lang="en">');
  });
});
