import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { namesExampleDomain } from './rules.ts';
import { CERTIFICATE, CERTIFICATE_KEY, siteNames } from './site.ts';

/** Something that only the deployer can supply. */
export interface Missing {
  what: string;
  where: string;
  /** All works without it. */
  optional?: true;
}

/** What nobody but the deployer has: the domain, its certificate, the mail server's password, Sentry's address. */
export function stillMissing(context: Context, find: (name: string) => Buffer | undefined): Missing[] {
  const { places, settings, environment } = context;
  const file = `${places.overrides}, or .env.${environment} in the repository`;
  const from = (name: string) => `${name}_FILE=<a file with it> make secrets ENV=${environment}`;
  const isEmpty = (name: string) => !find(name)?.length;
  const missing: Missing[] = [];
  const examples = Object.keys(settings).filter((key) => namesExampleDomain(settings[key] ?? ''));
  if (examples.length > 0)
    missing.push({ what: `your own names instead of example.com in ${examples.join(', ')}`, where: file });
  if (![CERTIFICATE, CERTIFICATE_KEY].every((name) => existsSync(join(places.tls, name))))
    missing.push({
      what: `a certificate for ${siteNames(settings).join(', ')}, bought or by ACME`,
      where: `${places.tls}/${CERTIFICATE} and ${CERTIFICATE_KEY}, then make secrets once more`,
    });
  const sendgrid = settings['MAIL_TRANSPORT'] === 'sendgrid';
  if (sendgrid && isEmpty('SENDGRID_API_KEY'))
    missing.push({ what: "SendGrid's API key", where: from('SENDGRID_API_KEY') });
  if (!sendgrid && settings['SMTP_USER'] && isEmpty('SMTP_PASSWORD'))
    missing.push({
      what: `the password of ${settings['SMTP_USER']} at ${settings['SMTP_HOST']}`,
      where: from('SMTP_PASSWORD'),
    });
  if (settings['BACKUP_S3_ENDPOINT'])
    for (const name of ['BACKUP_S3_KEY', 'BACKUP_S3_KEY_SECRET'].filter(isEmpty))
      missing.push({ what: `${name} of ${settings['BACKUP_S3_ENDPOINT']}`, where: from(name) });
  if (isEmpty('SENTRY_DSN')) missing.push({ what: "Sentry's DSN", where: from('SENTRY_DSN'), optional: true });
  if (isEmpty('ALERT_WEBHOOK_URL'))
    missing.push({ what: 'the webhook that alerts are sent to', where: from('ALERT_WEBHOOK_URL'), optional: true });
  if (settings['SENTRY_ORGANIZATION'] && isEmpty('SENTRY_AUTH_TOKEN'))
    missing.push({
      what: `a token of ${settings['SENTRY_ORGANIZATION']} at Sentry (project:releases), to tell it of deploys`,
      where: from('SENTRY_AUTH_TOKEN'),
      optional: true,
    });
  if (isEmpty('DEPLOY_WEBHOOK_URL'))
    missing.push({ what: 'the webhook that deploys are told to', where: from('DEPLOY_WEBHOOK_URL'), optional: true });
  return missing;
}
