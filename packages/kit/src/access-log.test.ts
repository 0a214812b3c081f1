import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterEach, expect, jest, test } from '@jest/globals';
import { logAccess } from './access-log.ts';
import { requestContext } from './context.ts';
import { createLogger } from './log.ts';

const resource = { service: 'org', version: '1.2.3', environment: 'test' };
const entry = { method: 'GET', route: '/api/orgs', status: 200, durationMs: 12.345, address: '192.0.2.1' };
const context = { request_id: 'r-1', trace_id: 't-1' };

afterEach(() => {
  jest.restoreAllMocks();
});

/** The writes to stdout that `work` causes, once they hold so many lines. */
async function written(lines: number, work: () => void): Promise<string[]> {
  const chunks: string[] = [];
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk) => chunks.push(String(chunk)) > 0);
  work();
  await eventually(() => chunks.join('').trimEnd().split('\n').length >= lines && chunks.length > 0);
  return chunks;
}

test('the line of a request has the fields of any other line', async () => {
  const log = createLogger({ ...resource, level: 'info' });
  const chunks = await written(2, () =>
    requestContext.run(context, () => {
      logAccess(log, entry);
      log.info('request served', {
        'http.request.method': 'GET',
        'http.route': '/api/orgs',
        'http.response.status_code': 200,
        duration_ms: 12.3,
        'client.address': '192.0.2.1',
      });
    }),
  );

  const [first, second] = chunks.map((line) => ({ ...JSON.parse(line), timestamp: 'then' }));
  expect(chunks).toHaveLength(2);
  expect(second).toEqual(first);
  expect(first).toMatchObject({ ...context, body: 'request served', severity_text: 'INFO', 'service.name': 'org' });
});

test('lines that come together go out in one write, in their order', async () => {
  const log = createLogger({ ...resource, level: 'info' });
  const chunks = await written(2, () => {
    logAccess(log, entry);
    logAccess(log, { ...entry, route: '/api/permissions' });
  });

  expect(chunks).toHaveLength(1);
  const routes = chunks[0]
    ?.trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line)['http.route']);
  expect(routes).toEqual(['/api/orgs', '/api/permissions']);
});

test('a level above info leaves only the lines of failed requests', async () => {
  const log = createLogger({ ...resource, level: 'error' });
  const chunks = await written(1, () => {
    logAccess(log, entry);
    logAccess(log, { ...entry, status: 503 });
  });

  expect(chunks.map((line) => JSON.parse(line).severity_text)).toEqual(['ERROR']);
});

test('with a folder for logs the line is in its file too, a failed request also in the file of errors', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-log-'));
  const log = createLogger({ ...resource, level: 'info', dir });
  await written(1, () => {
    logAccess(log, entry);
    logAccess(log, { ...entry, status: 500 });
  });
  log.end();
  const read = (pattern: RegExp) => {
    const file = readdirSync(dir).find((name) => pattern.test(name));
    const lines = file ? readFileSync(join(dir, file), 'utf8').trimEnd().split('\n') : [];
    return lines.filter(Boolean).map((line) => JSON.parse(line)['http.response.status_code']);
  };
  for (let tries = 0; tries < 200 && read(/^org-\d/).length < 2; tries++) await setImmediate();

  expect(read(/^org-\d/)).toEqual([200, 500]);
  expect(read(/^org-error-\d/)).toEqual([500]);
  rmSync(dir, { recursive: true });
});
