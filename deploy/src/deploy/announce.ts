import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { readOne } from '../secrets/vault.ts';
import type { HistoryLine, Journal } from '../state.ts';
import { actor } from './record.ts';

const TIMEOUT_MS = 10_000;

/** Tells others how it ended. None of them can make a deploy fail: what they say against it is a warning. */
export async function announce(context: Context, line: HistoryLine): Promise<void> {
  const { report } = context;
  const told: [string, () => Promise<unknown>][] = [
    ['Grafana was not told', () => annotate(context, line)],
    ['Sentry was not told', () => tellSentry(context, line)],
    ['The webhook was not called', () => callWebhook(context, line)],
  ];
  for (const [complaint, tell] of told)
    await tell().catch((error: Error) => report.warn(`${complaint}: ${error.message}`));
}

/** Tells the webhook that it begins: whoever looks at it then knows why what he sees changes. */
export async function announceStart(context: Context, journal: Journal): Promise<void> {
  const { id, command, colour, revision, from, started_at } = journal;
  const { environment } = context;
  const body = { id, command, environment, actor: actor(), host: hostname(), to: revision, colour, started_at };
  await callWebhook(context, { ...body, from: from?.revision ?? null, result: 'started' }).catch((error: Error) =>
    context.report.warn(`The webhook was not called: ${error.message}`),
  );
}

/** A line on every dashboard, where a Grafana runs here. */
async function annotate({ compose, places }: Context, line: HistoryLine): Promise<void> {
  const [grafana] = await compose.containers(['grafana']);
  const address = grafana && Object.values(grafana.addresses)[0];
  if (!address || grafana.state !== 'running') return;
  const password = secret(places.secrets, 'grafana', 'GRAFANA_ADMIN_PASSWORD');
  await post(
    `http://${address}:3000/api/annotations`,
    {
      time: Date.parse(line.started_at),
      timeEnd: Date.parse(line.ended_at),
      tags: ['deploy', line.environment, line.result],
      text: `${line.command} of ${line.to} ${line.result.replace('_', ' ')}`,
    },
    `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`,
  );
}

/** A release and its deploy, where the settings name an organization of Sentry and there is a token for it. */
async function tellSentry({ settings, places, compose }: Context, line: HistoryLine): Promise<void> {
  const organization = settings['SENTRY_ORGANIZATION'];
  const token = secret(places.secrets, 'operator', 'SENTRY_AUTH_TOKEN');
  if (!organization || !token || line.result !== 'succeeded') return;
  if (!settings['SENTRY_PROJECT']) throw new Error('SENTRY_PROJECT is empty, which a release belongs to');
  const { version } = JSON.parse(readFileSync(join(compose.options.source, 'package.json'), 'utf8'));
  const release = `gatehouse@${version}+${line.to}`;
  const base = (settings['SENTRY_URL'] || 'https://sentry.io').replace(/\/+$/, '');
  const url = `${base}/api/0/organizations/${organization}/releases/`;
  const authorization = `Bearer ${token}`;
  await post(url, { version: release, ref: line.to, projects: [settings['SENTRY_PROJECT']] }, authorization);
  const times = { dateStarted: line.started_at, dateFinished: line.ended_at };
  await post(
    `${url}${encodeURIComponent(release)}/deploys/`,
    { environment: line.environment, ...times },
    authorization,
  );
}

/** The record itself, for whoever wants to know: a chat, a ticket, a pager. Its address is a secret. */
async function callWebhook({ places }: Context, line: object): Promise<void> {
  const url = secret(places.secrets, 'operator', 'DEPLOY_WEBHOOK_URL');
  if (url) await post(url, line);
}

function secret(folder: string, holder: string, name: string): string {
  return existsSync(join(folder, holder, name)) ? readOne(folder, `${holder}/${name}`).toString().trim() : '';
}

async function post(url: string, body: object, authorization = ''): Promise<void> {
  // fetch would repeat it in its complaint, and the address of a webhook is its password.
  if (!URL.canParse(url)) throw new Error('its address is no URL');
  const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) };
  const answer = await fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`${answer.status} from ${new URL(url).host}`);
}
