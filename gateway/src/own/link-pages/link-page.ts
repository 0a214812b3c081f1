import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LinkPage } from './pages.ts';

const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');
const SCRIPT = read('client.js');
const STYLE = read('style.css');
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

// The one script and the one style that are in the page, requests to where it came from, and nothing else.
const CSP = [
  "default-src 'none'",
  `script-src ${hashOf(SCRIPT)}`,
  `style-src ${hashOf(STYLE)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HEADERS = [
  ...['content-type', 'text/html; charset=utf-8'],
  ...['cache-control', 'no-store'],
  ...['content-security-policy', CSP],
  ...['referrer-policy', 'no-referrer'],
  ...['x-content-type-options', 'nosniff'],
  ...['x-frame-options', 'DENY'],
];

type Field = NonNullable<LinkPage['fields']>[number];

/** A page that the link in a mail opens. Everything in it is ours: what people call themselves comes with answers. */
export function linkPage(page: LinkPage): { body: string; headers: string[] } {
  const { title, text, button, fields = [] } = page;
  // In a data block `<` could end the element.
  const data = JSON.stringify(page).replaceAll('<', '\\u003c');
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p id="intro">${text}</p>
<form hidden novalidate>
<fieldset id="fields">
${fields.map(fieldOf).join('')}</fieldset>
<button type="submit">${button}</button>
</form>
<p role="status"></p>
<noscript>This page needs JavaScript.</noscript>
</main>
<script type="application/json" id="page">${data}</script>
<script type="module">${SCRIPT}</script>
</body>
</html>
`;
  return { body, headers: HEADERS };
}

function fieldOf({ name, label, type, autocomplete, hint, repeats }: Field): string {
  const described = `${hint ? `${name}-hint ` : ''}${name}-error`;
  const repeat = repeats ? ` data-repeats="${repeats}"` : '';
  return `<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="${type}" autocomplete="${autocomplete}" autocapitalize="none" spellcheck="false" aria-required="true" aria-describedby="${described}"${repeat}>
${hint ? `<p class="hint" id="${name}-hint">${hint}</p>\n` : ''}<p class="error" id="${name}-error"></p>
`;
}
