// Loaded with `node --import` before a process's own code, since Sentry must be there before what it instruments.
import { existsSync, readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { basename, dirname } from 'node:path';
import { release } from './release.ts';

enableCompileCache();

const {
  SENTRY_DSN,
  SENTRY_DSN_FILE,
  ENVIRONMENT = '',
  SENTRY_TRACES_SAMPLE_RATE,
  SENTRY_PROFILES_SAMPLE_RATE,
} = process.env;
const dsn =
  SENTRY_DSN || (SENTRY_DSN_FILE && existsSync(SENTRY_DSN_FILE) ? readFileSync(SENTRY_DSN_FILE, 'utf8').trim() : '');
if (dsn) {
  const { startSentry } = await import('./sentry.ts');
  await startSentry({
    dsn,
    service: basename(dirname(dirname(process.argv[1] ?? ''))),
    release: `gatehouse@${release.version}+${release.revision.slice(0, 12)}`,
    environment: ENVIRONMENT,
    tracesSampleRate: Number(SENTRY_TRACES_SAMPLE_RATE ?? 0),
    profilesSampleRate: Number(SENTRY_PROFILES_SAMPLE_RATE ?? 0),
  });
}
