import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';

const Jwk = z.object({
  kid: z.string(),
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  alg: z.literal('ES256'),
  use: z.literal('sig'),
});

export function keyRoutes({ keyring }: Pick<Deps, 'keyring'>): Endpoint[] {
  return [
    endpoint({
      get: '/internal/jwks',
      summary: 'The public keys that access tokens are verified with',
      permission: 'internal',
      answers: { 200: z.object({ keys: z.array(Jwk) }) },
      handle: () => keyring.jwks(),
    }),
  ];
}
