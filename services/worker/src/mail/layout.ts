import { type Html, html, joined, unlinked } from './html.ts';

export interface MailContent {
  subject: string;
  /** Shown by mail programs beside the subject, also on a locked screen: never a secret, never people's words. */
  preview: string;
  /** Without a name the mail greets nobody: an invited address may be anyone's. */
  name?: string;
  paragraphs: string[];
  /** What somebody wrote to the reader. */
  quote?: string | undefined;
  /** What happened, when, from where: label and value. */
  details?: [label: string, value: string][];
  /** A code to type in. */
  code?: string;
  button?: { label: string; url: string };
  /** Said after the button. */
  closing?: string[];
  /** Why the reader got this mail and what to do when it was not them. */
  footer: string;
}

/** Takes away what would change how the rest of a mail reads: control characters and marks that turn the direction. */
export function readable(text: string): string {
  return text.replace(/[^\P{C}\n\u200c\u200d]/gu, '').replace(/[\u2028\u2029]/g, ' ');
}

// Mail programs fill the preview up with what follows in the mail. These fill it first, so that it never shows a code.
const FILL = '\u034f\u200c\u00a0'.repeat(60);
const FONT = `-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif`;
const STYLE = `
body { margin: 0; padding: 24px 12px; background: #f4f5f7; color: #1c2430; font: 16px/1.5 ${FONT}; }
.card { max-width: 520px; margin: 0 auto; padding: 32px 28px; background: #ffffff; border-radius: 8px; overflow-wrap: anywhere; }
h1 { margin: 0 0 16px; font-size: 20px; line-height: 1.3; }
p, blockquote { margin: 0 0 16px; }
.card > :last-child { margin-bottom: 0; }
blockquote { padding: 4px 0 4px 16px; border-left: 3px solid #c3cad5; white-space: pre-line; }
table { margin: 0 0 16px; border-collapse: collapse; }
th, td { padding: 4px 16px 4px 0; text-align: left; vertical-align: top; font-size: 15px; }
th { font-weight: 400; color: #5b6675; white-space: nowrap; }
.code { padding: 16px; border-radius: 8px; background: #eef1f5; color: #1c2430; font: 700 34px/1.2 ui-monospace, Menlo, Consolas, monospace; letter-spacing: 6px; text-align: center; user-select: all; -webkit-user-select: all; }
.button { display: inline-block; padding: 12px 20px; border-radius: 6px; background: #1f5fbf; color: #ffffff; font-weight: 600; text-decoration: none; }
.link { color: #5b6675; font-size: 14px; word-break: break-all; }
.link a { color: #1f5fbf; }
.footer { max-width: 520px; margin: 16px auto 0; padding: 0 28px; color: #5b6675; font-size: 13px; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
body { background: #12161c; color: #e6eaf0; }
.card { background: #1c222b; }
blockquote { border-left-color: #4a5463; }
th, .link, .footer { color: #a3aebd; }
.code { background: #12161c; color: #e6eaf0; }
.button { background: #6ea4f4; color: #0d1420; }
.link a { color: #8fbaf8; }
}
`;

/** The one layout of all mails: no image, no style sheet and no script from anywhere, readable on light and on dark. */
export function renderHtml(content: MailContent): string {
  const { subject, preview, name, paragraphs, quote, details, code, button, closing = [], footer } = content;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
<title>${subject}</title>
<style>${{ html: STYLE }}</style>
</head>
<body>
<div style="display:none;max-height:0;overflow:hidden" aria-hidden="true">${preview}${FILL}</div>
<div class="card" role="article" aria-label="${subject}">
<h1>${subject}</h1>
${name === undefined ? '' : paragraph(greeting(name))}${joined(paragraphs.map(paragraph))}${
  quote ? html`<blockquote>${words(quote)}</blockquote>\n` : ''
}${details ? table(details) : ''}${code ? html`<p class="code">${code}</p>\n` : ''}${
  button ? action(button) : ''
}${joined(closing.map(paragraph))}</div>
<p class="footer">${words(footer)}</p>
</body>
</html>
`;
  return page.html;
}

/** On one line, so that a name or a user agent cannot begin a paragraph of its own. */
const flat = (text: string): string => text.replace(/\s*[\r\n]+\s*/g, ' ');
const words = (text: string): Html => unlinked(readable(text));
const greeting = (name: string): string => `Hello ${name},`;
const paragraph = (text: string): Html => html`<p>${words(text)}</p>\n`;

function table(details: [string, string][]): Html {
  const rows = details.map(([label, value]) => html`<tr><th scope="row">${label}</th><td>${words(value)}</td></tr>\n`);
  return html`<table>\n${joined(rows)}</table>\n`;
}

function action({ label, url }: { label: string; url: string }): Html {
  return html`<p><a class="button" href="${url}">${label}</a></p>
<p class="link">Or open this address: <a href="${url}">${url}</a></p>
`;
}

/** The same as plain text. */
export function renderText(content: MailContent): string {
  const { name, paragraphs, quote, details, code, button, closing = [], footer } = content;
  const parts = [
    ...[...(name === undefined ? [] : [greeting(name)]), ...paragraphs].map(flat),
    // Each line is marked, so that what somebody wrote cannot pass for ours.
    ...(quote ? [quote.replace(/^/gm, '> ')] : []),
    ...(details ? [details.map(([label, value]) => `${label}: ${flat(value)}`).join('\n')] : []),
    ...(code ? [`    ${code}`] : []),
    ...(button ? [`${button.label}:\n${button.url}`] : []),
    ...closing.map(flat),
    `-- \n${footer}`,
  ];
  return `${readable(parts.join('\n\n'))}\n`;
}
