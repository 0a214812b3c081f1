import type { IncomingHttpHeaders } from 'node:http';
import { isWellFormedApiKey } from '@gatehouse/contracts/api-keys';
import { factKey } from '@gatehouse/contracts/facts';
import type { Actor } from '@gatehouse/kit/actor';
import { sha256 } from '@gatehouse/kit/crypto';
import { transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import { plain } from '@gatehouse/kit/text';
import type { Deps } from '../deps.ts';
import { judgeSignature } from './signature.ts';
import { findRecipients, revokeLeakedKey } from './store.ts';

/** What a partner found; `type` is its name for our keys. */
export interface Finding {
  token: string;
  type: string;
  url: string;
  source: string;
}

interface Report {
  findings: readonly Finding[];
  rawBody: Buffer;
  headers: IncomingHttpHeaders;
}

const URL_MAX = 2_048;
const SOURCE_MAX = 64;

/**
 * Takes a partner's report: every key in it that is alive is revoked at once and its organization told. Says of each
 * token whether it was one. Sent once more it finds nothing alive, and changes nothing.
 */
export async function takeReport(deps: Deps, actor: Actor, { findings, rawBody, headers }: Report) {
  if (!deps.scanningKeys) throw new AppError('not_found');
  const fault = await judgeSignature(deps.scanningKeys, headers, rawBody);
  if (fault) {
    await publish(deps.pool, actor, 'org.leak_report_refused.v1', { reason: fault }, { outcome: 'denied' });
    throw new AppError('api_key.report_refused');
  }
  const labels = [];
  for (const finding of findings) {
    const hash = sha256(finding.token);
    // What no key can look like is not asked of the database. One by one: a report may name a key twice.
    const found = isWellFormedApiKey(finding.token) && (await revokeFound(deps, actor, hash, finding));
    labels.push({
      token_hash: hash.toString('hex'),
      token_type: finding.type,
      label: found ? ('true_positive' as const) : ('false_positive' as const),
    });
  }
  return labels;
}

/** True when the key was alive. Each in a transaction of its own, so that one that fails keeps no other alive. */
function revokeFound(deps: Deps, actor: Actor, hash: Buffer, finding: Finding): Promise<boolean> {
  return deps.operations('api_key_leak_report', () =>
    transaction(deps.pool, async (tx) => {
      const key = await revokeLeakedKey(tx, hash, deps.clock());
      if (!key) return false;
      const url = readUrl(finding.url);
      const where = url === undefined ? {} : { url };
      const source = plain(finding.source, SOURCE_MAX);
      const { key_id, org_id, name, prefix } = key;
      const data = { key_id, name, prefix, ...where, ...(source ? { source } : {}) };
      await publish(tx, actor, 'org.api_key_leaked.v1', data, { org_id, target: { type: 'api_key', id: key_id } });
      for (const recipient of await findRecipients(tx, key.admins)) {
        const params = { name: recipient.name, organization: key.org_name, key_name: name, prefix, ...where };
        await enqueue(tx, 'mail.send', { template: 'api-key-leaked', to: recipient.email, params });
      }
      await deps.facts.invalidate(factKey.apiKey(hash.toString('hex')));
      return true;
    }),
  );
}

/** Where the key was found. Text by others: shown only when it is a plain web address. */
function readUrl(text: string): string | undefined {
  if (text.length > URL_MAX || !/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return undefined;
  return text.includes('ezak_') ? undefined : text;
}
