// Runs in the browser. Texts from answers are set as text, never as HTML.
const page = JSON.parse(document.getElementById('page').textContent);
const form = document.querySelector('form');
const button = document.querySelector('button');
const fields = document.getElementById('fields');
const intro = document.getElementById('intro');
const status = document.querySelector('[role=status]');

// The token stands behind the #, so no server and no log sees it; it leaves the address bar and the history at once.
const token = new URLSearchParams(location.hash.slice(1)).get('token');
history.replaceState(null, '', location.pathname);
// A second link to the same page, opened in the same tab, is no new document for the browser.
addEventListener('hashchange', () => location.reload());

let asking = page.preview !== undefined;
let busy = false;
if (token) form.hidden = false;
else say('This link is not complete. Open it from the mail once more.', 'problem');
if (asking) {
  fields.hidden = true;
  fields.disabled = true;
  button.textContent = page.preview.button;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (busy || !valid()) return;
  busy = true;
  button.setAttribute('aria-disabled', 'true');
  say('One moment…');
  const answer = asking
    ? await post(page.preview.endpoint, { token })
    : await post(page.endpoint, { [page.token ?? 'token']: token, ...values() });
  busy = false;
  button.removeAttribute('aria-disabled');
  if (!answer.ok) refused(answer);
  else if (asking) show(answer.body);
  else end(page.doneBy?.[answer.body.status] ?? page.done, 'done');
});

/** The answer; one that did not come, or that is not JSON, has no body. */
async function post(endpoint, body) {
  try {
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    });
    const text = await answer.text();
    const after = answer.headers.get('retry-after');
    return { ok: answer.ok, status: answer.status, after, body: text.startsWith('{') ? JSON.parse(text) : {} };
  } catch {
    return { ok: false, status: 0, after: null, body: {} };
  }
}

function inputs() {
  return fields.disabled ? [] : [...form.querySelectorAll('input')];
}

function values() {
  const sent = inputs().filter((input) => !input.dataset.repeats);
  return Object.fromEntries(sent.map((input) => [input.name, input.value]));
}

function valid() {
  for (const input of inputs()) mark(input, '');
  const wrong = inputs().filter((input) => {
    const { repeats } = input.dataset;
    if (!input.value) mark(input, 'Please fill this in.');
    else if (repeats && input.value !== form.elements[repeats].value) mark(input, 'This is not the same.');
    return input.getAttribute('aria-invalid') === 'true';
  });
  if (wrong.length > 0) say('Something is missing or wrong, see above the button.', 'problem');
  wrong[0]?.focus();
  return wrong.length === 0;
}

/** Says beside a field what is wrong with it; nothing takes that away. */
function mark(input, message) {
  document.getElementById(`${input.name}-error`).textContent = message;
  input.setAttribute('aria-invalid', String(message !== ''));
}

function refused({ status: code, after, body }) {
  const wrong = inputs().filter((input) => {
    const mistakes = (body.errors ?? []).filter(({ pointer }) => pointer === `/${input.name}`);
    if (mistakes.length > 0) mark(input, `It ${mistakes.map(({ message }) => message).join(', and it ')}.`);
    return mistakes.length > 0;
  });
  if (wrong.length > 0) {
    say('This was not taken, see above the button.', 'problem');
    wrong[0].focus();
  } else if (page.refused[body.code]) end(page.refused[body.code], 'problem');
  else if (code === 429 || code === 503)
    say(
      `There is too much to do at the moment. Try again in ${/^\d+$/.test(after) ? after : '60'} seconds.`,
      'problem',
    );
  else if (code === 0 || code >= 500) say('That did not work. Try again in a minute.', 'problem');
  else end(body.detail ?? 'That is not possible.', 'problem');
}

/** What the first press asked for: the form follows, or it ends here. */
function show(answer) {
  asking = false;
  const { goesOn, text, otherwise } = page.preview;
  const filled = (words) => words.replace(/\{(\w+)\}/g, (_whole, name) => String(answer[name] ?? ''));
  if (!answer[goesOn]) return end(filled(otherwise), '');
  intro.textContent = filled(text);
  button.textContent = page.button;
  fields.hidden = false;
  fields.disabled = false;
  say('');
  inputs()[0]?.focus();
}

function end(text, kind) {
  form.hidden = true;
  intro.hidden = true;
  say(text, kind);
}

function say(text, kind = '') {
  status.textContent = text;
  status.className = kind;
}
