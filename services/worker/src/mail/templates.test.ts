import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';
import { Mail as MailSchema } from '@gatehouse/contracts/jobs';
import { describe, expect, test } from '@jest/globals';
import { html, unlinked } from './html.ts';
import { readable, renderHtml, renderText } from './layout.ts';
import { SAMPLES } from './samples.ts';
import { mailContent } from './templates.ts';

const publicUrl = 'https://gatehouse.test';
const secret = 'S3cret-w1th&strange=<signs>';
const encoded = encodeURIComponent(secret);
const templates = Object.keys(SAMPLES) as MailTemplate[];
const mailOf = (template: MailTemplate, words: string): Mail => MailSchema.parse(SAMPLES[template](words));
const PAGES: Partial<Record<MailTemplate, string>> = {
  'verify-address': 'verify-address',
  'new-device': 'not-me',
  'password-reset': 'reset-password',
  invitation: 'accept-invitation',
  'sign-in-blocked': 'unlock',
  'email-change': 'confirm-email-change',
  'account-closing': 'restore-account',
};
/** What a person sees of a page, one piece after the other. */
const visible = (page: string): string =>
  page
    .replace(/<head>[\s\S]*<\/head>/, '')
    .replace(/<[^>]+>/g, '')
    .replace(
      /&(lt|gt|quot|#39|amp);/g,
      (_, name) => ({ lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' })[name as 'lt'],
    );

test('a value in HTML is text, HTML made by the tag is not escaped again', () => {
  expect(html`<p title="${'"'}">${"<a> & '"}${html`<b>x</b>`}</p>`.html).toBe(
    '<p title="&quot;">&lt;a&gt; &amp; &#39;<b>x</b></p>',
  );
});

test('S018: nothing that looks like an address is left whole for a mail program to link', () => {
  const name = 'https://evil.test/x or ada@evil.test';
  expect(unlinked(name).html).not.toMatch(/https:|evil\.test|ada@/);
  expect(visible(unlinked(name).html)).toBe(name);
});

test('S018: marks that turn the direction of writing, and control characters, are taken out', () => {
  expect(readable('a\u202etxt.exe\u2066\u0007\r\nb\u2028c\u0000')).toBe('atxt.exe\nb c');
  expect(readable('José 👩‍💻 ผู้ใช้ علی')).toBe('José 👩‍💻 ผู้ใช้ علی');
});

test('a note of many lines cannot pass for our own words', () => {
  const note = 'Hi\n\n-- \nYour account is blocked, call 555';
  const mail = { ...mailOf('invitation', 'Ada'), params: { ...mailOf('invitation', 'Ada').params, note } } as Mail;
  const content = mailContent(mail, { publicUrl, secret });
  expect(renderText(content)).toContain('> Hi\n> \n> -- \n> Your account is blocked, call 555\n');
  expect(renderHtml(content)).toContain('<blockquote>Hi\n\n-- \nYour account');
});

describe.each(templates)('%s', (template) => {
  const evil = `<a href=//evil>x</a>{{7*7}}\${7*7}<%= 7*7 %>"'<img src=https://evil.test/x>`;
  const context = { publicUrl, secret };
  const content = mailContent(mailOf(template, evil), context);
  const page = renderHtml(content);
  const text = renderText(content);

  test('S018: what people call themselves, write and send as user agent stays literal text', () => {
    expect(text).toContain(evil);
    expect(visible(page)).toContain(evil);
    expect(page).toContain('&lt;a href=//evil&gt;x&lt;/a&gt;{{7*7}}$');
    expect(page).not.toMatch(/<a href=\/\/evil|<img/);
    expect(content.subject + content.preview).not.toContain('evil');
    expect(content.subject).not.toMatch(/[\r\n]/);
  });

  test('every link leads to its page below the public address, and nothing is loaded from anywhere', () => {
    const links = [...page.matchAll(/<[^>]*\s(?:href|src|srcset|action|background|poster)\s*=\s*["']?([^"'\s>]+)/gi)];
    const expected = PAGES[template] ? `${publicUrl}/${PAGES[template]}#token=${encoded}` : undefined;
    for (const [, link] of links) expect(link?.replaceAll('&amp;', '&')).toBe(expected);
    expect(links.length > 0).toBe(expected !== undefined);
    expect(content.button?.url).toBe(expected);
    expect(page).not.toMatch(/<(img|script|link|iframe|object|embed|video|form)\b|@import|url\s*\(/i);
  });

  test('text and HTML say the same, with the same link and code', () => {
    const { paragraphs, closing = [], footer, button, code, details = [], quote } = content;
    for (const part of [...paragraphs, ...closing, footer, ...details.flat(), ...(quote ? [quote] : [])]) {
      expect(text).toContain(part);
      expect(visible(page)).toContain(part);
    }
    for (const one of [button?.url, code])
      if (one) expect([text.includes(one), visible(page).includes(one)]).toEqual([true, true]);
    expect(code).toBe(template === 'code' ? secret : undefined);
  });

  test('no secret is in the subject, in the preview, or in what a preview would be filled up with', () => {
    for (const shown of [content.subject, content.preview, visible(page).trim().slice(0, 300), text.slice(0, 140)]) {
      expect(shown).not.toContain(secret);
      expect(shown).not.toContain(encoded);
    }
  });

  test('it is readable on dark', () => {
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toContain('<meta name="color-scheme" content="light dark">');
  });

  test('times have their zone', () => {
    expect(text.match(/2026/g) ?? []).toHaveLength((text.match(/November 2026 at \d\d:\d\d UTC/g) ?? []).length);
    expect(text).not.toContain('T12:34');
  });

  test('without the secret that it needs it is not written', () => {
    const write = () => mailContent(mailOf(template, 'Ada'), { publicUrl, secret: '' });
    if (PAGES[template] || template === 'code') expect(write).toThrow('carries no secret');
    else expect(write).not.toThrow();
  });
});
