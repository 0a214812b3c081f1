import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';
import { Mail as MailSchema } from '@gatehouse/contracts/jobs';
import { describe, expect, test } from '@jest/globals';
import { html } from './html.ts';
import { renderHtml, renderText } from './layout.ts';
import { mailContent } from './templates.ts';

const publicUrl = 'https://gatehouse.test';
const to = 'ada@example.test';
const samples: { [T in MailTemplate]: (name: string) => Mail } = {
  'verify-address': (name) => ({ template: 'verify-address', to, params: { name } }),
  'address-taken': (name) => ({ template: 'address-taken', to, params: { name } }),
};

test('a value in HTML is text, HTML made by the tag is not escaped again', () => {
  expect(html`<p title="${'"'}">${"<a> & '"}${html`<b>x</b>`}</p>`.html).toBe(
    '<p title="&quot;">&lt;a&gt; &amp; &#39;<b>x</b></p>',
  );
});

test('a token is encoded into the link, after the #', () => {
  const content = mailContent(samples['verify-address']('Ada'), { publicUrl, token: 'a&b=<c>' });
  expect(content.button?.url).toBe('https://gatehouse.test/verify-address#token=a%26b%3D%3Cc%3E');
});

describe.each(Object.keys(samples) as MailTemplate[])('%s', (template) => {
  const evil = `<a href=//evil>x</a>{{7*7}}\${7*7}<img src=https://evil.test/x>`;
  const content = mailContent(MailSchema.parse(samples[template](evil)), { publicUrl, token: 'token' });
  const page = renderHtml(content);
  const text = renderText(content);

  test('S018: what people call themselves stays literal text', () => {
    expect(text).toContain(evil);
    expect(page).toContain('&lt;a href=//evil&gt;x&lt;/a&gt;{{7*7}}$');
    expect(page).not.toContain('<a href=//evil');
    expect(content.subject).not.toContain('evil');
  });

  test('links lead only to the public address, and nothing is loaded from anywhere', () => {
    const links = [...page.matchAll(/(?:href|src|url)\s*[=(]\s*["']?([^"'\s>)]+)/g)].map(([, link]) => link);
    for (const link of links.filter((one) => !one?.startsWith('//evil') && !one?.startsWith('https://evil')))
      expect(link?.startsWith(`${publicUrl}/`)).toBe(true);
    expect(page).not.toMatch(/<(img|script|link|iframe)\b|@import|url\(/);
  });

  test('it has a text and an HTML form that say the same, and is readable on dark', () => {
    for (const paragraph of content.paragraphs) expect(text).toContain(paragraph);
    if (content.button) expect(text).toContain(content.button.url);
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toContain('<meta name="color-scheme" content="light dark">');
  });
});
