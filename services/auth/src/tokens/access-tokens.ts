import { ACCESS_TOKEN_TYPE, type AuthenticationMethod, type PlatformRole } from '@gatehouse/contracts/identity';
import { newId } from '@gatehouse/kit/ids';
import jwt from 'jsonwebtoken';
import type { Deps } from '../deps.ts';

interface Subject {
  user_id: string;
  session_id: string;
  role: PlatformRole;
  amr: AuthenticationMethod[];
  authenticated_at: Date;
  /** When the session ends at the latest; no access token lives longer. */
  expires_at: Date;
}

/** Signs an access token (RFC 9068, ES256). The role in it is a hint for clients and never an authority. */
export function signAccessToken(
  { config, clock, keyring }: Pick<Deps, 'config' | 'clock' | 'keyring'>,
  { user_id, session_id, role, amr, authenticated_at, expires_at }: Subject,
): { access_token: string; expires_in: number } {
  const { kid, key } = keyring.signer();
  const iat = Math.floor(clock().getTime() / 1000);
  // A session that ends within this second has ended for the gateway when its token still has a moment.
  const end = Math.max(iat + 1, Math.floor(expires_at.getTime() / 1000));
  const exp = Math.min(iat + config.ACCESS_TOKEN_TTL_SECONDS, end);
  const auth_time = Math.floor(authenticated_at.getTime() / 1000);
  const access_token = jwt.sign({ sub: user_id, sid: session_id, role, amr, auth_time, iat, exp, jti: newId() }, key, {
    algorithm: 'ES256',
    keyid: kid,
    header: { alg: 'ES256', typ: ACCESS_TOKEN_TYPE },
    issuer: config.PUBLIC_URL,
    audience: config.PUBLIC_URL,
  });
  return { access_token, expires_in: exp - iat };
}
