import type { Answer } from '../client.ts';

export interface Narrator {
  title(text: string): void;
  step(number: number, title: string): void;
  /** What was sent, and by whom. */
  sent(who: string, request: string, body?: unknown): void;
  /** What came back: the status and the part of the answer that matters here. */
  received(answer: Answer<unknown>, part?: unknown): void;
  /** What this shows. */
  proved(text: string): void;
  note(text: string): void;
  end(): void;
}

const WIDTH = 132;
const ESCAPE = { bold: 1, dim: 2, green: 32, red: 31, cyan: 36 } as const;

/** Writes a story for a person to read; colours only where `colours` says that somebody sees them. */
export function createNarrator(write: (line: string) => void, colours: boolean): Narrator {
  const paint = (style: keyof typeof ESCAPE, text: string) =>
    colours ? `\u001b[${ESCAPE[style]}m${text}\u001b[0m` : text;
  return {
    title: (text) => write(paint('bold', text)),
    step: (number, title) => write(`\n${paint('bold', `${String(number).padStart(2)}. ${title}`)}`),
    sent(who, request, body) {
      const content =
        body === undefined ? '' : ` ${paint('dim', cut(short(shown(body)), WIDTH - short(request).length - 12))}`;
      write(`    ${paint('cyan', who.padEnd(5))} > ${short(request)}${content}`);
    },
    received(answer, part = answer.body) {
      const status = paint(answer.status < 400 ? 'green' : 'red', String(answer.status));
      const content = isEmpty(part) ? '' : ` ${paint('dim', cut(short(shown(part)), WIDTH - 16))}`;
      write(`          < ${status}${content}`);
    },
    proved: (text) => write(`          ${paint('green', '=')} ${text}`),
    note: (text) => write(`          ${text}`),
    end: () => write(''),
  };
}

/** JSON on one line, without what must not be read over a shoulder. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, mask, 1).replaceAll(/\n */g, ' ');
}

const UUID = /\b([0-9a-f]{8})-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{6}([0-9a-f]{6})\b/g;

/** Ids in a few characters: their beginnings are a time and much the same. */
function short(text: string): string {
  return text.replaceAll(UUID, '..$2');
}

const HIDDEN = new Set(['password', 'new_password', 'secret', 'code', 'otpauth_uri', 'qr_svg', 'recovery_codes']);
const CUT = new Set(['access_token', 'refresh_token', 'key', 'token', 'challenge_token', 'invitation_token']);

function mask(name: string, value: unknown): unknown {
  if (Array.isArray(value) && HIDDEN.has(name)) return `${value.length} x ********`;
  // A problem has a code as well, which everyone shall read.
  if (typeof value !== 'string' || (name === 'code' && /[a-z]\./.test(value))) return value;
  if (HIDDEN.has(name)) return '********';
  return CUT.has(name) ? beginning(value) : value;
}

/** The beginning of a secret: enough to tell two apart, useless to whoever reads it. */
export function beginning(secret: string): string {
  return `${secret.slice(0, 12)}...`;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(width - 4, 20))} ...`;
}
