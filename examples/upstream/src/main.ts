// An application behind Gatehouse: it trusts nothing but the signed identity, and echoes what it got.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import jwt from 'jsonwebtoken';

const {
  HOST = '127.0.0.1',
  PORT = '4010',
  UPSTREAM_NAME = 'example',
  GATEWAY_URL = 'http://127.0.0.1:4000',
} = process.env;
const keys = new Map<string, KeyObject>();

async function verify(token: string): Promise<jwt.JwtPayload> {
  const { kid = '', typ } = jwt.decode(token, { complete: true })?.header ?? {};
  if (typ !== 'identity+jwt') throw new Error('this is no identity');
  // Keys are fetched once; a rolled key shows up as an unknown kid.
  if (!keys.has(kid)) {
    const answer = await fetch(`${GATEWAY_URL}/.well-known/jwks.json`);
    const published = (await answer.json()) as { keys: (JsonWebKey & { kid: string })[] };
    for (const jwk of published.keys) keys.set(jwk.kid, createPublicKey({ key: jwk, format: 'jwk' }));
  }
  const key = keys.get(kid);
  if (!key) throw new Error('the key is not published');

  return jwt.verify(token, key, {
    algorithms: ['ES256'],
    audience: UPSTREAM_NAME,
    issuer: 'gatehouse',
  }) as jwt.JwtPayload;
}

const server = createServer(async (req, res) => {
  const answer = (status: number, body: unknown) =>
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  try {
    const identity = await verify(String(req.headers['gatehouse-identity']));
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const { method, url, headers } = req;
    answer(200, { identity, request: { method, url, headers, body: Buffer.concat(chunks).toString() } });
  } catch (error) {
    answer(401, { error: (error as Error).message });
  }
});
server.keepAliveTimeout = 65_000;
server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
