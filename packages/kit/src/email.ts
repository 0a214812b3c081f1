import { domainToASCII } from 'node:url';
import { z } from 'zod';

const LOCAL = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$/;

/** The domain of a mail address, normalised the same way. */
export const EmailDomain = z
  .string()
  .max(255)
  .transform((text) => domainToASCII(text.normalize('NFKC').trim().toLowerCase()))
  .pipe(z.string().max(253, 'is too long').regex(DOMAIN, 'must be a domain such as example.com'));

/**
 * An e-mail address, normalised once (NFKC, trimmed, lower case, domain in its ASCII form) and from then on compared
 * and written to as it is stored, so that no two spellings ever lead to the same row or mailbox.
 */
export const EmailAddress = z
  .string()
  .max(320)
  .transform((text) => normalizeEmail(text))
  .pipe(z.string().max(254, 'is too long').refine(isEmail, 'must be an e-mail address'));

function normalizeEmail(text: string): string {
  const email = text.normalize('NFKC').trim().toLowerCase();
  const at = email.lastIndexOf('@');
  return at < 0 ? email : `${email.slice(0, at)}@${domainToASCII(email.slice(at + 1))}`;
}

function isEmail(email: string): boolean {
  const at = email.lastIndexOf('@');
  const local = email.slice(0, at);
  return at > 0 && local.length <= 64 && LOCAL.test(local) && DOMAIN.test(email.slice(at + 1));
}

/** As much of an address as whoever has it recognises it by: `a***@example.test`. */
export function maskEmail(email: string): string {
  const at = email.lastIndexOf('@');
  return `${email.slice(0, 1)}***${email.slice(at)}`;
}
