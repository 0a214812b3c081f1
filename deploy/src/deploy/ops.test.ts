import { expect, test } from '@jest/globals';
import { opsUrl, sumOf } from './ops.ts';

const container = {
  ...{ id: '1', service: 'gateway-1-green', state: 'running', health: 'healthy', restarts: 0, exitCode: 0 },
  ...{ startedAt: new Date(), image: 'gatehouse/gateway:0', addresses: { edge: '10.80.0.21', obs: '172.20.0.5' } },
};

test('a process is asked on the operators network, at the port of its kind', () => {
  expect(opsUrl(container, { GATEWAY_OPS_PORT: '4100' })).toBe('http://172.20.0.5:4100');
  expect(opsUrl({ ...container, service: 'auth-blue' }, { AUTH_OPS_PORT: '4101' })).toBe('http://172.20.0.5:4101');
});

test('a container that has no address yet has no place to ask', () => {
  expect(opsUrl({ ...container, addresses: {} }, { GATEWAY_OPS_PORT: '4100' })).toBeUndefined();
});

const METRICS = `# TYPE http_requests_total counter
http_requests_total{method="GET",route="/",status="200"} 20
http_requests_total{method="GET",route="/a\\"}b",status="500"} 3
http_requests_total_other{status="500"} 100
db_connections_waiting 2
`;

test('the samples of one metric are added, by their labels', () => {
  expect(sumOf(METRICS, 'http_requests_total')).toBe(23);
  expect(sumOf(METRICS, 'http_requests_total', ({ status }) => status === '500')).toBe(3);
  expect(sumOf(METRICS, 'db_connections_waiting')).toBe(2);
  expect(sumOf('', 'http_requests_total')).toBe(0);
});
