import { Readable } from 'node:stream';
import type { SendMailOptions } from 'nodemailer';
import { failed } from '../jobs/failure.ts';
import { AUTOMATIC, type OutgoingMail, type Sending, STEP_TIMEOUT_MS, type Transport } from './transport.ts';

export interface SmtpSettings {
  host: string;
  port: number;
  /** `starttls` requires the upgrade: a server that does not offer it gets no mail. */
  security: 'none' | 'starttls' | 'tls';
  user?: string | undefined;
  password?: string | undefined;
  timeoutMs?: number;
  /** Certificates that count beside the usual ones, for a server with one of its own. */
  ca?: string | undefined;
}

type Smtp = { sendMail(mail: SendMailOptions): Promise<unknown> };
interface SmtpError {
  message?: string;
  code?: string;
  command?: string;
  responseCode?: number;
}

/** Sends by SMTP. Each step ends after 10 s; a connection serves one mail, so that none is found broken later. */
export function smtpTransport(settings: SmtpSettings): Transport {
  // Loaded with the first mail: it brings Node's undici with it, 13 MiB that an idle worker does without.
  let smtp: Promise<Smtp> | undefined;
  return {
    async send(mail, sending) {
      smtp ??= openSmtp(settings);
      const transporter = await smtp;
      let contentBegan = false;
      let notCommitted: unknown;
      const commit = async () => {
        try {
          await sending.commit();
          contentBegan = true;
        } catch (error) {
          // Kept: the library would put a code of its own on it.
          notCommitted = error;
          throw new Error('not committed', { cause: error });
        }
      };
      try {
        await transporter.sendMail(message(mail, { ...sending, commit }));
      } catch (error) {
        throw notCommitted ?? smtpFailure(error as SmtpError, contentBegan);
      }
    },
  };
}

async function openSmtp({ host, port, security, user, password, timeoutMs = STEP_TIMEOUT_MS, ca }: SmtpSettings) {
  const { default: nodemailer } = await import('nodemailer');
  const transporter = nodemailer.createTransport({
    host,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    tls: { minVersion: 'TLSv1.2', ...(ca ? { ca } : {}) },
    ...(user ? { auth: { user, pass: password ?? '' } } : {}),
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  // The message is read when the server has answered DATA and waits for it, and not before: up to there nothing can
  // have been sent, from there on the outcome is the server's to tell.
  transporter.use('stream', (mail, done) => {
    const { commit } = mail.data as unknown as Pick<Sending, 'commit'>;
    const create = mail.message.createReadStream.bind(mail.message);
    mail.message.createReadStream = () =>
      Readable.from(
        (async function* () {
          await commit();
          yield* create();
        })(),
        { objectMode: false },
      ) as ReturnType<typeof create>;
    done();
  });
  return transporter as Smtp;
}

function message({ from, to, jobId: _jobId, ...mail }: OutgoingMail, sending: Sending): SendMailOptions {
  // The recipient as an object: a string would be read as a list of addresses.
  return { ...mail, from, to: { name: '', address: to }, headers: AUTOMATIC, ...sending } as SendMailOptions;
}

/** What became of the mail (RFC 5321, sections 4.2.1 and 4.5.4.1: who got no answer to the content must send again). */
function smtpFailure(error: SmtpError, contentBegan: boolean): Error {
  const { message = '', code = 'ESMTP', command, responseCode } = error;
  if (contentBegan && responseCode === undefined)
    return failed(message, code, { kind: 'unknown', slow: code === 'ETIMEDOUT' || code === 'EABORT' });
  const aboutTheMail = (code === 'EENVELOPE' || code === 'EMESSAGE') && command !== 'MAIL FROM';
  const refused = responseCode === undefined || (responseCode >= 550 && responseCode < 560);
  if (aboutTheMail && refused) return failed(message, code, { kind: 'permanent' });
  const ours = code === 'EAUTH' || code === 'ETLS' || (command === 'MAIL FROM' && (responseCode ?? 0) >= 500);
  return failed(message, code, { kind: 'temporary', ours });
}
