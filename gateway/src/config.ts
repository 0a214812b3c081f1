import { SERVICE_ROUTES } from '@gatehouse/contracts/routes';
import {
  count,
  databaseSettings,
  list,
  pem,
  port,
  processSettings,
  redisSettings,
  secret,
  url,
} from '@gatehouse/kit/config';
import { z } from 'zod';

const NAME = /^[a-z0-9-]{1,40}$/;

// An upstream's name is the audience of the identities that it is handed: none of them may count at a service too.
const SERVICES = new Set<string>(SERVICE_ROUTES.map(({ service }) => service));

/** `name=url`, several of them by comma; several processes of one upstream by `|`. */
const upstreams = list().transform((items, context) => {
  const found: Record<string, string[]> = {};
  for (const item of items) {
    const [name = '', urls = ''] = [item.slice(0, item.indexOf('=')), item.slice(item.indexOf('=') + 1)];
    const list = urls.split('|');
    if (!NAME.test(name) || name in found || !list.every((text) => URL.canParse(text) && /^https?:/.test(text)))
      context.addIssue({
        code: 'custom',
        message: 'must be name=url,name=url with names of a-z, 0-9 and -, each once',
      });
    if (SERVICES.has(name))
      context.addIssue({ code: 'custom', message: `must not name an upstream ${name}: a service is` });
    found[name] = list;
  }
  return found;
});

const origins = list().refine(
  (items) => items.every((item) => URL.canParse(item) && new URL(item).origin === item),
  'must be origins by name, such as https://app.example.com, without a path',
);

const planFactors = z.string().transform((text, context) => {
  const factors = { free: 1, pro: 1, enterprise: 1 };
  for (const item of text.split(',')) {
    const [plan = '', factor] = item.trim().split('=');
    if (!(plan in factors) || !(Number(factor) > 0))
      context.addIssue({ code: 'custom', message: 'must be like free=1,pro=5,enterprise=20' });
    else factors[plan as keyof typeof factors] = Number(factor);
  }
  return factors;
});

/** The gateway's settings; see the comments in .env.development. */
export const Config = z.object({
  ...processSettings,
  ...databaseSettings,
  ...redisSettings,
  GATEWAY_PORT: port(),
  GATEWAY_OPS_PORT: port(),
  GATEWAY_POOL_MAX: count(),
  GATEWAY_DATABASE_PASSWORD: secret(),
  IDENTITY_PRIVATE_KEY: pem({ secret: true }),
  AUTH_URL: url(),
  ORG_URL: url(),
  AUDIT_URL: url(),
  WORKER_URL: url(),
  UPSTREAMS: upstreams,
  UPSTREAM_TIMEOUT_MS: count(100, 600_000),
  UPSTREAM_IDLE_TIMEOUT_MS: count(100, 3_600_000),
  UPSTREAM_CONNECTIONS: count(1, 10_000),
  UPGRADES_MAX: count(1, 100_000),
  MAX_BODY_BYTES: count(1024),
  TRUSTED_PROXIES: list(),
  CORS_ORIGINS: origins,
  LIMIT_ADDRESS_MINUTE: count(),
  LIMIT_ADDRESS_HOUR: count(),
  LIMIT_ADDRESS_DAY: count(),
  LIMIT_USER_MINUTE: count(),
  LIMIT_USER_HOUR: count(),
  LIMIT_USER_DAY: count(),
  LIMIT_KEY_MINUTE: count(),
  LIMIT_KEY_HOUR: count(),
  LIMIT_KEY_DAY: count(),
  LIMIT_PLAN_FACTORS: planFactors,
});
export type Config = z.output<typeof Config>;
