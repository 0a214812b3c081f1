import type { Config } from '../config.ts';
import { sendGridTransport } from './sendgrid.ts';
import { smtpTransport } from './smtp.ts';
import type { Transport } from './transport.ts';

/** The transport that the settings choose. */
export function createTransport(config: Config): Transport {
  // The settings are refused when SendGrid is chosen without a key.
  if (config.MAIL_TRANSPORT === 'sendgrid')
    return sendGridTransport({ apiKey: config.SENDGRID_API_KEY ?? '', apiUrl: config.SENDGRID_API_URL });
  return smtpTransport({
    host: config.SMTP_HOST,
    port: config.SMTP_PORT,
    security: config.SMTP_SECURITY,
    user: config.SMTP_USER,
    password: config.SMTP_PASSWORD,
  });
}
