import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { writeFileAtomically } from '../files.ts';
import type { Places } from '../places.ts';
import { askPublic, type PublicAnswer } from './public-listener.ts';

const TAKES_MS = 10_000;
// Which exists on every listener; its content is of no interest.
const PATH = '/api/auth/me';

const flagOf = (places: Places) => join(places.nginx, 'flags', 'maintenance');

export function isInMaintenance(places: Places): boolean {
  return existsSync(flagOf(places));
}

/**
 * nginx looks for the flag with each request, so nothing is reloaded. What counts is what a client gets: the flag may be
 * in a folder that nginx does not see.
 */
export async function setMaintenance(context: Context, on: boolean): Promise<void> {
  const { places, settings, report, environment } = context;
  const flag = flagOf(places);
  await report.step('maintenance', on ? 'Answer 503 to everyone' : 'Serve again', async (detail) => {
    if (on) writeFileAtomically(flag, '');
    else rmSync(flag, { force: true });
    const { host, last } = await askUntil(settings, on);
    if (isMaintenance(last) === on && last.status > 0) return detail(`${host} answers ${last.status}`);
    throw new Failure(EXIT.switch, `${host} answers ${last.status || last.text} still`, [
      `The flag is ${flag}. Is nginx up? make status ENV=${environment}`,
    ]);
  });
}

async function askUntil(settings: Context['settings'], on: boolean): Promise<{ host: string; last: PublicAnswer }> {
  const host = `https://${settings['SERVER_NAME']?.split(/[\s,]+/)[0]}:${settings['PUBLISH_HTTPS_PORT']}`;
  const deadline = Date.now() + TAKES_MS;
  for (;;) {
    const last = await askPublic(settings, PATH);
    if ((last.status > 0 && isMaintenance(last) === on) || Date.now() > deadline) return { host, last };
    await delay(200);
  }
}

/** Not every 503 is ours: one of the gateway is no sign that nginx saw the flag. */
function isMaintenance({ status, text }: PublicAnswer): boolean {
  return status === 503 && text.includes('maintenance');
}
