import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Clock } from '@gatehouse/kit/clock';
import { open } from '@gatehouse/kit/crypto';
import { type JobEnd, type JobRun, permanent } from '../jobs/runner.ts';
import { renderHtml, renderText } from './layout.ts';
import { mailContent } from './templates.ts';
import type { Transport } from './transport.ts';

export interface MailDeps {
  clock: Clock;
  transport: Transport;
  /** The key that the secrets of mails are sealed with. */
  mailKey: Buffer;
  publicUrl: string;
  from: string;
}

/**
 * Sends the mail of a job. The message id is the job's: when an attempt's outcome stayed unknown and it is sent again,
 * the receiving side can tell that it is the same mail.
 */
export async function sendMail(deps: MailDeps, { id, payload: mail, secret }: JobRun<'mail.send'>): Promise<JobEnd> {
  const { clock, transport, publicUrl, from } = deps;
  if (mail.expires_at && new Date(mail.expires_at) <= clock()) return 'expired';
  const token = secret ? unsealed(deps.mailKey, secret) : '';
  const content = mailContent(mail, { publicUrl, secret: token });
  const messageId = `<${id}@${new URL(publicUrl).hostname}>`;
  try {
    await transport.send({
      from,
      to: mail.to,
      subject: content.subject,
      text: renderText(content),
      html: renderHtml(content),
      messageId,
    });
  } catch (error) {
    throw isRefusal(error) ? permanent(error) : error;
  }
  return 'success';
}

function unsealed(key: Buffer, secret: Buffer): string {
  try {
    return open(key, secret, MAIL_SECRET.aad).toString();
  } catch (error) {
    throw permanent(error);
  }
}

/** Whether the server refused this recipient or this message for good (RFC 5321, section 4.2.1). */
function isRefusal(error: unknown): boolean {
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
  const aboutTheMail = code === 'EENVELOPE' || code === 'EMESSAGE';
  return aboutTheMail && typeof responseCode === 'number' && responseCode >= 550 && responseCode < 560;
}
