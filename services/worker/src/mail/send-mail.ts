import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import { open, type SealingKeys } from '@gatehouse/kit/crypto';
import { failed } from '../jobs/failure.ts';
import type { JobEnd, JobRun } from '../jobs/runner.ts';
import { type MailContent, renderHtml, renderText } from './layout.ts';
import { mailContent } from './templates.ts';
import type { Transport } from './transport.ts';

export interface MailDeps {
  clock: Clock;
  transport: Transport;
  /** The keys that the secrets of mails may be sealed with. */
  mailKeys: SealingKeys;
  publicUrl: string;
  from: string;
}

/**
 * Sends the mail of a job. The message id is the job's: when an attempt's outcome stayed unknown and it is sent again,
 * the receiving side can tell that it is the same mail.
 */
export async function sendMail(deps: MailDeps, { id, payload: mail, ...job }: JobRun<'mail.send'>): Promise<JobEnd> {
  const { clock, transport, publicUrl, from } = deps;
  if (mail.expires_at && new Date(mail.expires_at) <= clock()) return 'expired';
  const content = written(deps, mail, job.secret);
  if (isNowhere(mail.to)) return 'withheld';
  const outgoing = {
    from,
    to: mail.to,
    subject: content.subject,
    text: renderText(content),
    html: renderHtml(content),
    messageId: `<${id}@${new URL(publicUrl).hostname}>`,
    jobId: id,
  };
  await transport.send(outgoing, { signal: job.signal, commit: job.commit });
  return 'success';
}

/** Whether no mail can ever go there (RFC 6761, section 6.4): handed over, it would only come back. */
const isNowhere = (address: string) => /[.@]invalid$/i.test(address);

/** A mail that cannot be written will not be written better the next time. */
function written(deps: MailDeps, mail: JobRun<'mail.send'>['payload'], sealed: Buffer | null): MailContent {
  try {
    const secret = sealed ? open(deps.mailKeys, sealed, MAIL_SECRET.aad).toString() : '';
    return mailContent(mail, { publicUrl: deps.publicUrl, secret });
  } catch (error) {
    throw failed((error as Error).message, 'unwritable', { kind: 'permanent' });
  }
}
