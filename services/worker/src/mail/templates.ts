import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';
import type { MailContent } from './layout.ts';

export interface TemplateContext {
  /** Without a slash at the end. The only origin that a link may have. */
  publicUrl: string;
  /** What the job's secret held; empty for a template without one. */
  token: string;
}

type Templates = {
  [T in MailTemplate]: (mail: Extract<Mail, { template: T }>, context: TemplateContext) => MailContent;
};

/** Every mail. Names come from people: they stand in the text, never in a subject or a link. */
const TEMPLATES: Templates = {
  'verify-address': ({ params }, { publicUrl, token }) => ({
    subject: 'Confirm your e-mail address',
    preview: 'One step is left until your account is ready.',
    paragraphs: [
      `Hello ${params.name},`,
      `an account was created with this address at ${publicUrl}. Confirm that the address is yours, and the account is ready.`,
    ],
    // After the #, so that the token reaches no server log and no mail scanner uses it up by opening the link.
    button: { label: 'Confirm the address', url: `${publicUrl}/verify-address#token=${encodeURIComponent(token)}` },
    footer: 'If you did not create an account, ignore this mail: without your confirmation nothing happens.',
  }),
  'address-taken': ({ params }, { publicUrl }) => ({
    subject: 'You already have an account',
    preview: 'Somebody tried to register with your address.',
    paragraphs: [
      `Hello ${params.name},`,
      `somebody tried to create an account with this address at ${publicUrl}. You already have one, so nothing was changed. Sign in with your password.`,
    ],
    footer: 'If it was not you, there is nothing to do: whoever it was did not learn that you have an account.',
  }),
};

/** What a mail says. */
export function mailContent<T extends MailTemplate>(
  mail: Extract<Mail, { template: T }>,
  context: TemplateContext,
): MailContent {
  return (TEMPLATES[mail.template] as Templates[T])(mail, context);
}
