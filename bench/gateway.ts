import { startProxy } from './children.ts';
import { EDGE_HEADERS, type House } from './house.ts';
import { atLeast, atMost, type Line, shown } from './report.ts';
import { figure, interleave, serve } from './rounds.ts';

const ROUNDS = 5;
const CONNECTIONS = 64;

/**
 * The gateway's whole way of a request against nginx `proxy_pass`, both to the same upstream over kept connections:
 * the same requests with the same headers, one process against one worker, as fast as each goes.
 */
export async function measureGateway(house: House, upstreamUrl: string): Promise<Line[]> {
  const proxy = await startProxy(upstreamUrl);
  const gateway = house.platform.process('gateway');
  const headers = {
    ...EDGE_HEADERS,
    authorization: `Bearer ${house.accessToken}`,
    'x-org-id': house.orgId,
  };
  const request = (base: string) => ({
    url: `${base}/api/proxy/bench/hello`,
    headers,
    connections: CONNECTIONS,
    seconds: 4,
  });
  try {
    const rounds = await interleave(
      ROUNDS,
      () => serve(gateway.pid() ?? 0, request(gateway.url)),
      () => serve(proxy.pid, request(proxy.url)),
    );
    const ratio = figure(rounds.map(({ subject, baseline }) => subject.perCpuSecond / baseline.perCpuSecond));
    const p99 = figure(rounds.map(({ subject, baseline }) => subject.p99Ms / baseline.p99Ms));
    const rate = figure(rounds.map(({ subject }) => subject.perCpuSecond));
    return [
      atLeast('gateway, whole path: requests/CPU-s, of nginx proxy_pass', ratio, 0.3),
      shown('  requests/CPU-s of the gateway', rate),
      atMost(`gateway: p99 at ${CONNECTIONS} connections, times nginx's`, p99, 3, '', p99Detail(rounds)),
    ];
  } finally {
    await proxy.stop();
  }
}

function p99Detail(rounds: { subject: { p99Ms: number }; baseline: { p99Ms: number } }[]): string {
  const subject = figure(rounds.map((round) => round.subject.p99Ms)).median;
  const baseline = figure(rounds.map((round) => round.baseline.p99Ms)).median;
  return `: ${subject.toFixed(1)} ms of ${baseline.toFixed(1)} ms`;
}
