import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';
import type { MailContent } from './layout.ts';
import * as account from './templates/account.ts';
import * as organization from './templates/organization.ts';
import * as signIn from './templates/sign-in.ts';
import type { Template, TemplateContext } from './templates/writing.ts';

/** Every mail. Names come from people: they stand in the text, never in a subject, a preview or a link. */
const TEMPLATES: { [T in MailTemplate]: Template<T> } = {
  'verify-address': account.verifyAddress,
  'address-taken': account.addressTaken,
  code: signIn.code,
  'new-device': signIn.newDevice,
  'password-changed': account.passwordChanged,
  'password-reset': account.passwordReset,
  invitation: organization.invitation,
  'sign-in-blocked': signIn.signInBlocked,
  'refresh-reused': signIn.refreshReused,
  'email-change': account.emailChange,
  'email-changed': account.emailChanged,
  'factor-changed': account.factorChanged,
  'account-closing': account.accountClosing,
  'api-key-leaked': organization.apiKeyLeaked,
};

/** What a mail says. Throws when it needs a secret and the job has none. */
export function mailContent<T extends MailTemplate>(
  mail: Extract<Mail, { template: T }>,
  context: TemplateContext,
): MailContent {
  return (TEMPLATES[mail.template] as Template<T>)(mail, context);
}
