import { createHash } from 'node:crypto';

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { display: grid; place-items: center; min-height: 100vh; margin: 0; }
main { max-width: 28rem; padding: 1.5rem; }
h1 { font-size: 1.25rem; }
button { font: inherit; padding: .5rem 1rem; cursor: pointer; }
`;

// The token stands behind the #, so no server and no log sees it, and a scanner that opens the link uses nothing up:
// only the button does.
const SCRIPT = `
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname);
const button = document.querySelector('button');
const status = document.querySelector('[role=status]');
if (token) button.hidden = false;
else status.textContent = 'This link is not complete. Open it from the mail once more.';
button.addEventListener('click', async () => {
  button.disabled = true;
  const answer = await fetch('/api/auth/email/verify', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  }).catch(() => undefined);
  if (answer?.ok) {
    button.hidden = true;
    status.textContent = 'Your address is confirmed. You can sign in now.';
  } else if (answer && answer.status < 429) {
    button.hidden = true;
    status.textContent = 'This link has been used or is too old. Register again to get a new one.';
  } else {
    button.disabled = false;
    status.textContent = 'That did not work. Please try again in a moment.';
  }
});
`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Confirm your address</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Confirm your address</h1>
<p role="status"></p>
<button type="button" hidden>Confirm my address</button>
<noscript>This page needs JavaScript.</noscript>
</main>
<script type="module">${SCRIPT}</script>
</body>
</html>
`;

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The page that the link in a confirmation mail opens. Opening it changes nothing; its button confirms the address. */
export const verifyAddressPage = {
  body: PAGE,
  headers: [
    'content-type',
    'text/html; charset=utf-8',
    'cache-control',
    'no-store',
    'content-security-policy',
    `default-src 'none'; script-src ${hashOf(SCRIPT)}; style-src ${hashOf(STYLE)}; connect-src 'self'; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
};
