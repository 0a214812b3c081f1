import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';
import type { MailContent } from '../layout.ts';

export interface TemplateContext {
  /** Without a slash at the end. The only origin that a link may have. */
  publicUrl: string;
  /** What the job's secret held, a token or a code; empty for a template without one. */
  secret: string;
}

export type Template<T extends MailTemplate> = (
  mail: Extract<Mail, { template: T }>,
  context: TemplateContext,
) => MailContent;

/** The pages that links in mails open; the gateway has them. */
export type LinkPage =
  | 'verify-address'
  | 'not-me'
  | 'unlock'
  | 'reset-password'
  | 'accept-invitation'
  | 'confirm-email-change'
  | 'restore-account';

/** A link to one of our pages. The token is after the #: it reaches no server log, and no scanner uses it up. */
export function link({ publicUrl, secret }: TemplateContext, page: LinkPage): string {
  return `${publicUrl}/${page}#token=${encodeURIComponent(needed(secret))}`;
}

/** The secret of a mail that is of no use without one. */
export function needed(secret: string): string {
  if (!secret) throw new Error('the job carries no secret, and its mail needs one');
  return secret;
}

// Made with the first mail: it brings seven MiB with it.
let format: Intl.DateTimeFormat | undefined;

/** A time that says its zone: we do not know the reader's. */
export function time(iso: string): string {
  format ??= new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' });
  return `${format.format(new Date(iso))} UTC`;
}

/** For how long the link of a mail is good. */
export const onceUntil = (expiresAt: string | undefined): string =>
  expiresAt ? `The link works once, until ${time(expiresAt)}.` : 'The link works once.';

interface Occasion {
  device: string;
  address: string;
  at: string;
}

export function details({ device, address, at }: Occasion): [label: string, value: string][] {
  return [
    ['When', time(at)],
    ['Device', device || 'unknown'],
    ['Address', address],
  ];
}
