import { newId } from '@gatehouse/kit/ids';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import { isVerifiable } from './hash-format.ts';
import type { Line } from './lines.ts';
import type { ImportedUser } from './store.ts';

const Account = z.strictObject({
  email: EmailAddress,
  name: line(100).optional(),
  password_hash: z.string().max(1024).refine(isVerifiable, 'is of no format that can be verified').optional(),
  email_verified: z.boolean().default(false),
  role: z.enum(['user', 'guest'], 'must be user or guest; administrators are made in the platform').optional(),
  created_at: z.iso.datetime({ offset: true }).optional(),
});

const EARLIEST = Date.UTC(1970, 0, 2);

/** The account that a line stands for, why it is refused, or undefined for a blank line. */
export function accountOf({ bytes }: Line, now: Date): ImportedUser | { refused: string } | undefined {
  if (bytes === undefined) return { refused: 'the line is longer than 16 KiB' };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return { refused: 'not UTF-8' };
  }
  if (text === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { refused: 'not JSON' };
  }
  const parsed = Account.safeParse(value);
  if (!parsed.success) return { refused: parsed.error.issues.slice(0, 5).map(mistake).join('; ') };
  const { email, name = nameOf(email), password_hash = null, email_verified, role, created_at } = parsed.data;
  const created = created_at === undefined ? now : new Date(created_at);
  if (created > now || created.getTime() < EARLIEST) return { refused: 'created_at: is not a time that can be' };
  return {
    id: newId(),
    email,
    name,
    role: role ?? (email_verified ? 'user' : 'guest'),
    password_hash,
    email_verified_at: email_verified ? now : null,
    created_at: created,
  };
}

/** What is wrong, by field. Never the value: a line holds hashes. */
function mistake({ path, code, message, ...issue }: z.core.$ZodIssue): string {
  if (code === 'unrecognized_keys') {
    const names = (issue as { keys: string[] }).keys.slice(0, 5).map((key) => key.slice(0, 32).replace(/[^\w-]/g, '?'));
    return `unknown: ${names.join(', ')}`;
  }
  return path.length > 0 ? `${path.join('.')}: ${message}` : message;
}

const nameOf = (email: string) => email.slice(0, email.lastIndexOf('@')).slice(0, 100);
