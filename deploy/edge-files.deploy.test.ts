import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { renderEdgeFiles } from './jobs/configure.ts';
import type { Compose } from './src/compose.ts';
import { renderEdge } from './src/configuration.ts';
import { ensureSecrets } from './src/secrets/ensure.ts';
import { readFolder } from './src/secrets/vault.ts';
import { CHECKOUT, contentsOf, emptyHost, makeBase, QUIET } from './testing/empty-host.ts';

const base = makeBase();
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe('the edge', () => {
  const context = emptyHost(join(base, 'edge'));
  const edge = { gateways: ['10.80.1.11:4000', '10.80.1.12:4000'], opsAllow: ['10.80.1.3'] };
  // The tools image is not this test's subject: its job is done here.
  const compose = {
    options: { source: CHECKOUT },
    run: async () => ({
      code: 0,
      stdout: '{"services":{"nginx":{"image":"nginxinc/nginx-unprivileged:1.28"}}}',
      stderr: '',
    }),
    job: async (_script: string, _args: readonly string[], { input }: { input: string }) => {
      const { settings, gateways } = JSON.parse(input);
      return JSON.stringify({ mistakes: [], files: renderEdgeFiles(settings, { ...edge, gateways }) });
    },
  } as unknown as Compose;
  const inPlace = { ...context, compose };
  const nginxFile = (name: string) => join(context.places.nginx, name);

  test('is written where its user can read it, and what is live is never overwritten', async () => {
    await ensureSecrets(context, QUIET);
    await renderEdge(inPlace, 'green');
    expect(readFileSync(nginxFile('upstream.conf'), 'utf8')).toContain('server 10.80.1.21:4000');
    expect(statSync(nginxFile('nginx.conf')).mode & 0o777).toBe(0o644);
    expect(statSync(nginxFile('flags')).mode & 0o777).toBe(0o755);

    writeFileSync(nginxFile('stale.conf'), '');
    await renderEdge(inPlace, 'blue');
    expect(readFileSync(nginxFile('upstream.conf'), 'utf8')).toContain('server 10.80.1.21:4000');
    expect(readFolder(context.places.nginx).map(({ path }) => path)).not.toContain('stale.conf');
  });

  test('is left as it is when nginx does not accept the new one', async () => {
    const before = contentsOf(context.places.nginx);
    writeFileSync(join(context.places.tls, 'fullchain.pem'), 'no certificate');

    const settings = { ...context.settings, NGINX_API_BURST: '7' };
    await expect(renderEdge({ ...inPlace, settings }, 'blue')).rejects.toMatchObject({ code: 11 });
    expect(contentsOf(context.places.nginx)).toEqual(before);
  });
});
