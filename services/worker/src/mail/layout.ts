import { type Html, html } from './html.ts';

export interface MailContent {
  subject: string;
  /** Shown by mail programs beside the subject. */
  preview: string;
  paragraphs: string[];
  button?: { label: string; url: string };
  /** Why the reader got this mail and what to do when it was not them. */
  footer: string;
}

/** The one layout of all mails: no image, no style sheet and no script from anywhere, readable on light and on dark. */
export function renderHtml({ subject, preview, paragraphs, button, footer }: MailContent): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${subject}</title>
<style>
body { margin: 0; padding: 24px 12px; background: #f4f5f7; color: #1c2430; font: 16px/1.5 -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
.card { max-width: 520px; margin: 0 auto; padding: 32px 28px; background: #ffffff; border-radius: 8px; }
h1 { margin: 0 0 16px; font-size: 20px; line-height: 1.3; }
p { margin: 0 0 16px; }
.button { display: inline-block; padding: 12px 20px; border-radius: 6px; background: #1f5fbf; color: #ffffff; font-weight: 600; text-decoration: none; }
.link { font-size: 14px; word-break: break-all; }
.footer { max-width: 520px; margin: 16px auto 0; padding: 0 28px; color: #5b6675; font-size: 13px; }
@media (prefers-color-scheme: dark) {
body { background: #12161c; color: #e6eaf0; }
.card { background: #1c222b; }
.button { background: #6ea4f4; color: #0d1420; }
.link a { color: #8fbaf8; }
.footer { color: #9aa5b4; }
}
</style>
</head>
<body>
<div style="display:none;max-height:0;overflow:hidden">${preview}</div>
<div class="card" role="article">
<h1>${subject}</h1>
${joined(paragraphs.map((text) => html`<p>${text}</p>\n`))}${button ? action(button) : ''}</div>
<p class="footer">${footer}</p>
</body>
</html>
`;
  return page.html;
}

function action({ label, url }: { label: string; url: string }): Html {
  return html`<p><a class="button" href="${url}">${label}</a></p>
<p class="link">Or open this address: <a href="${url}">${url}</a></p>
`;
}

const joined = (pieces: Html[]): Html => ({ html: pieces.map((piece) => piece.html).join('') });

/** The same as plain text. */
export function renderText({ paragraphs, button, footer }: MailContent): string {
  const action = button ? [`${button.label}:\n${button.url}`] : [];
  return `${[...paragraphs, ...action, `-- \n${footer}`].join('\n\n')}\n`;
}
