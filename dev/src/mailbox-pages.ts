import type { MailMessage } from './mailbox.ts';

// The mail itself is shown in a frame that may run and load nothing.
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
};

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  * { box-sizing: border-box; }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  table { width: 100%; border-collapse: collapse; }
  th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; border: 1px solid #8884; border-radius: .4rem; }
  iframe { width: 100%; height: 44rem; border: 1px solid #8884; border-radius: .4rem; }
  .narrow { max-width: 24rem; }
  dt { font-weight: 600; float: left; clear: left; width: 6rem; } dd { margin-left: 6.5rem; }`;

/** All messages, newest first. */
export function listPage(messages: readonly MailMessage[]): string {
  const rows = messages.map(
    ({ id, subject, to, received_at }) =>
      `<tr><td><a href="/messages/${escapeHtml(id)}">${escapeHtml(subject || '(no subject)')}</a></td>` +
      `<td>${escapeHtml(to.join(', '))}</td><td>${escapeHtml(received_at)}</td></tr>`,
  );
  const table = `<table><tr><th>Subject</th><th>To</th><th>Received</th></tr>${rows.join('')}</table>`;
  return page('Mailbox', `<h1>Mailbox</h1>${messages.length > 0 ? table : '<p>No mail yet.</p>'}`);
}

/** One message: its HTML in a frame with no right but to open links in tabs of their own, and its text. */
export function messagePage({ subject, from, to, received_at, text, html }: MailMessage): string {
  const heads = Object.entries({ From: from, To: to.join(', '), Received: received_at })
    .map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`)
    .join('');
  const frame = (width: string) =>
    `<iframe class="${width}" sandbox="allow-popups allow-popups-to-escape-sandbox" title="HTML, ${width}" ` +
    `srcdoc="${escapeHtml(`<base target="_blank">${html}`)}"></iframe>`;
  const frames = html ? `<h2>HTML</h2>${frame('wide')}<h2>HTML on a phone</h2>${frame('narrow')}` : '';
  const body = `<p><a href="/">All mail</a></p><h1>${escapeHtml(subject)}</h1><dl>${heads}</dl>`;
  return page(subject, `${body}<h2>Text</h2><pre>${linked(text)}</pre>${frames}`);
}

/** Text whose addresses can be clicked, as mail programs show it. */
function linked(text: string): string {
  return text
    .split(/(https?:\/\/[^\s<>"']+)/)
    .map((part, index) => {
      const shown = escapeHtml(part);
      return index % 2 === 1 ? `<a href="${shown}" target="_blank" rel="noreferrer">${shown}</a>` : shown;
    })
    .join('');
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>${body}</body></html>`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '');
}
