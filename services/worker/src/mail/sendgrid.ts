import type sendGrid from '@sendgrid/mail';
import { failed } from '../jobs/failure.ts';
import { AUTOMATIC, type OutgoingMail, STEP_TIMEOUT_MS, type Transport } from './transport.ts';

export interface SendGridSettings {
  apiKey: string;
  /** Where the v3 API is; https://api.sendgrid.com, or its European address. */
  apiUrl: string;
  timeoutMs?: number;
}

type MailService = typeof sendGrid;
type MailData = Exclude<Parameters<MailService['send']>[0], unknown[]>;

/** Tracking rewrites links and loads an image: links would lead elsewhere, past the token behind the #. */
const UNTOUCHED = {
  clickTracking: { enable: false, enableText: false },
  openTracking: { enable: false },
  subscriptionTracking: { enable: false },
  ganalytics: { enable: false },
};

/** Sends by the v3 API of SendGrid (POST /v3/mail/send). */
export function sendGridTransport(settings: SendGridSettings): Transport {
  return {
    async send(mail, { signal, commit }) {
      const service = await openService(settings, signal);
      await commit();
      try {
        await service.send(request(mail));
      } catch (error) {
        throw sendGridFailure(error as SendGridError);
      }
    },
  };
}

/** One for each mail, since the signal is a setting of the client. Loaded with the first: axios is no small thing. */
async function openService({ apiKey, apiUrl, timeoutMs = STEP_TIMEOUT_MS }: SendGridSettings, signal: AbortSignal) {
  const { MailService } = (await import('@sendgrid/mail')).default as unknown as { MailService: new () => MailService };
  const service = new MailService();
  const { client } = service as unknown as { client: Client };
  // Not setApiKey: it would set the address of the API, too.
  client.setDefaultHeader('Authorization', `Bearer ${apiKey}`);
  // Without redirects: the key is for this address only.
  client.setDefaultRequest({ baseUrl: apiUrl, timeout: timeoutMs, maxRedirects: 0, signal });
  return service;
}

interface Client {
  setDefaultHeader(name: string, value: string): void;
  setDefaultRequest(options: Record<string, unknown>): void;
}

function request({ from, to, subject, text, html, messageId, jobId }: OutgoingMail): MailData {
  return {
    // As objects: a string would be taken apart into name and address.
    from: address(from),
    personalizations: [{ to: { email: to }, customArgs: { job_id: jobId } }],
    subject,
    text,
    html,
    headers: { 'Message-ID': messageId, ...AUTOMATIC },
    trackingSettings: UNTOUCHED,
    hideWarnings: true,
  };
}

/** `Name <address>`, or the address alone. */
function address(from: string): { email: string; name?: string } {
  const [, name, email] = /^(.*?)\s*<([^<>]+)>$/.exec(from) ?? [];
  return email === undefined ? { email: from } : { email, ...(name ? { name } : {}) };
}

interface SendGridError {
  /** The status of an answer, or the code of what kept it from coming. */
  code?: number | string;
  /** Of a redirect the library makes no error of its own: its status stands here. */
  response?: { status?: number; headers?: Record<string, unknown>; body?: unknown };
}

/** Requests that were never on their way: the address was not found, or nobody listened there. */
const NOT_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'];

const TOO_SLOW = ['ECONNABORTED', 'ETIMEDOUT', 'ERR_CANCELED'];

/** What became of the mail. Makes an error of its own: the library's holds the request, with key and mail. */
function sendGridFailure({ code: cause, response }: SendGridError): Error {
  const code = response?.status ?? cause;
  if (typeof code !== 'number') {
    const reason = String(code ?? 'failed');
    const kind = NOT_SENT.includes(reason) ? 'temporary' : 'unknown';
    return failed(`the mail provider gave no answer: ${reason}`, reason, { kind, slow: TOO_SLOW.includes(reason) });
  }
  const reason = `the mail provider answered ${code}${errorsOf(response?.body)}`;
  const name = `HTTP_${code}`;
  if (code === 400 || code === 413) return failed(reason, name, { kind: 'permanent' });
  const retryAfterMs = retryAfter(response?.headers?.['retry-after']);
  // A redirect, or another refusal that is not about this mail: wrong key, wrong address of the API.
  const ours = code < 500 && code !== 429 && code !== 408;
  return failed(reason, name, { kind: 'temporary', ours, retryAfterMs });
}

function errorsOf(body: unknown): string {
  const errors = (body as { errors?: { message?: unknown }[] } | undefined)?.errors;
  return Array.isArray(errors) ? `: ${errors.map(({ message }) => String(message)).join('; ')}` : '';
}

/** Seconds, or a date (RFC 9110, section 10.2.3). */
function retryAfter(value: unknown): number | undefined {
  const text = String(value ?? '');
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
