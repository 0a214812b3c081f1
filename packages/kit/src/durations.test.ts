import { expect, test } from '@jest/globals';
import { Histogram, Registry } from 'prom-client';
import { durationMetric, HTTP_BUCKETS, httpMetrics } from './durations.ts';
import { createMetrics } from './metrics.ts';

const SECONDS = [0, 0.004, 0.005, 0.0051, 0.3, 9.99, 10, 11, 400];

test('what is exported is what prom-client exports for the same observations', async () => {
  const metrics = createMetrics({ version: '0', revision: '0' });
  const observe = durationMetric(metrics, { name: 'took_seconds', help: 'Time.' })({ method: 'GET', route: '/a"b' });
  const registry = new Registry();
  const theirs = new Histogram({
    name: 'took_seconds',
    help: 'Time.',
    labelNames: ['method', 'route'],
    buckets: HTTP_BUCKETS,
    registers: [registry],
  });
  for (const seconds of SECONDS) {
    observe(seconds);
    theirs.observe({ method: 'GET', route: '/a"b' }, seconds);
  }

  expect(await metrics.registry.getSingleMetricAsString('took_seconds')).toBe(
    await registry.getSingleMetricAsString('took_seconds'),
  );
});

test('a request is counted once, by method, route and status; methods that clients make up are one', async () => {
  const metrics = createMetrics({ version: '0', revision: '0' });
  const served = httpMetrics(metrics);
  for (const method of ['GET', 'GET', 'HACK', 'PWN']) {
    served.started();
    served.finished(method, '/api/x', 200, 0.01);
  }
  served.started();

  const text = await metrics.registry.metrics();
  expect(text).toContain('http_requests_total{method="GET",route="/api/x",status="200"} 2');
  expect(text).toContain('http_requests_total{method="_OTHER",route="/api/x",status="200"} 2');
  expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/api/x",status="200"} 2');
  expect(text).toContain('http_requests_in_flight 1');
});
