import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { placesOf } from '../places.ts';
import { securityChecks } from './security-checks.ts';
import { tenantOf } from './tenant.ts';

const SECRET = 'Zr8Tn5Wb7Hc4Jd6Fg1Ps0Ak3Yq9vLx2m';
const { orgId } = tenantOf(SECRET);

let state: string;
let server: Server;
let ended: string[];

beforeEach(async () => {
  ended = [];
  state = mkdtempSync(join(tmpdir(), 'gatehouse-checks-'));
  mkdirSync(join(state, 'secrets/app'), { recursive: true });
  writeFileSync(join(state, 'secrets/app/SYNTHETIC_PASSWORD'), SECRET);
  let sessions = 0;
  // A platform that fails in the middle: nobody can be taken out of an organization.
  server = createServer((req, res) => {
    const token = req.headers.authorization;
    const answer = (status: number, body: object = {}) =>
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    switch (`${req.method} ${req.url}`) {
      case 'POST /api/auth/login':
        return answer(200, { access_token: `token ${++sessions}`, refresh_token: 'r' });
      case 'POST /api/auth/register':
        return token ? answer(201, { user: { id: 'made', role: 'viewer' } }) : answer(401);
      case 'POST /api/auth/logout':
        ended.push(String(token));
        return answer(204);
      case 'GET /api/auth/me':
      case `GET /api/org/${orgId}`:
        return answer(200);
      case `GET /api/org/${orgId}/invitations`:
        return answer(403);
      case `DELETE /api/org/${orgId}/members/made`:
        return req.socket.destroy();
      default:
        return answer(404);
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
});
afterEach(() => {
  server.close();
  rmSync(state, { recursive: true });
});

test('every session of the checks is ended, also when what they made cannot be removed', async () => {
  const context = { places: placesOf(state), settings: { REGISTRATION_MODE: 'admin' } };
  const { port } = server.address() as AddressInfo;
  const results = await securityChecks(context, { url: `http://127.0.0.1:${port}`, fingerprint: 'none' });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(ended).toEqual(['Bearer token 1', 'Bearer token 2']);
});
