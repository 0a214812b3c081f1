import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Container } from '../compose.ts';
import type { Context, Settings } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { type Colour, gatewaysOf } from '../places.ts';
import { containersOf } from './colour.ts';
import {
  configurationMistake,
  drained,
  type EdgeFiles,
  namedColour,
  nginxOf,
  readEdgeFiles,
  reload,
  servingWorkers,
  upstreamText,
  writeEdgeFiles,
} from './edge.ts';
import { askOps, opsUrl, sumOf } from './ops.ts';
import { askManyTimes } from './public-listener.ts';

const REQUESTS = 20;

export interface Switched {
  /** Until every new connection reached the colour. */
  ms: number;
  nginx: Container;
  /** Workers that still finish what was begun on the old addresses. */
  oldWorkers: number[];
}

export function gatewayAddresses(settings: Settings, colour: Colour): string[] {
  return gatewaysOf(colour, settings['EDGE_PREFIX'] ?? '', settings['GATEWAY_PORT'] ?? '4000');
}

/** Sends users to a colour, with the release's own nginx files where they are given. */
export function switchTo(context: Context, colour: Colour, files: EdgeFiles = {}): Promise<Switched> {
  const upstream = upstreamText(gatewayAddresses(context.settings, colour));
  return replaceEdge(context, { ...files, 'upstream.conf': upstream });
}

/** Gives nginx other files, without a request lost. Throws a Failure; what it refuses is taken back. */
export async function replaceEdge(context: Context, files: EdgeFiles): Promise<Switched> {
  const startedAt = performance.now();
  const { places } = context;
  const nginx = await nginxOf(context);
  const before = readEdgeFiles(places.nginx);
  // nginx reads its files at a reload only: they can be written and tried while clients are being moved.
  const prepare = async () => {
    writeEdgeFiles(places, files);
    const [mistake, workers] = await Promise.all([configurationMistake(nginx), servingWorkers(nginx)]);
    if (mistake === undefined) return workers;
    writeEdgeFiles(places, before);
    throw new Failure(EXIT.switch, 'nginx does not take the new configuration', mistake.split('\n').slice(-10));
  };
  const oldWorkers = await drained(places, prepare, async (workers) => {
    await reload(nginx, workers);
    return workers;
  });
  return { ms: Math.round(performance.now() - startedAt), nginx, oldWorkers };
}

/** Asks 20 times as clients do, and has the colour's gateways confirm that it was they who answered. */
export async function confirmServing(context: Context, colour: Colour): Promise<void> {
  const { places, settings } = context;
  if (namedColour(places) !== colour) throw new Failure(EXIT.switch, `nginx does not name ${colour}`);
  if (existsSync(join(places.nginx, 'flags', 'maintenance')))
    return context.report.warn('Closed for maintenance: that the new release serves was not tried from outside.');
  const before = await answeredBy(context, colour);
  const mistake = await askManyTimes(settings, '/', REQUESTS);
  if (mistake) throw new Failure(EXIT.switch, 'The public address does not answer', [mistake]);
  const counted = (await answeredBy(context, colour)) - before;
  if (counted >= REQUESTS) return;
  throw new Failure(EXIT.switch, `Of ${REQUESTS} requests to the public address, ${counted} reached ${colour}`);
}

/** How often the colour's gateways have answered `GET /`. */
async function answeredBy(context: Context, colour: Colour): Promise<number> {
  const gateways = (await containersOf(context, colour)).filter(({ service }) => service.startsWith('gateway-'));
  const counts = gateways.map(async (gateway) => {
    const url = opsUrl(gateway, context.settings);
    const { text } = url ? await askOps(`${url}/metrics`) : { text: '' };
    return sumOf(text, 'http_requests_total', ({ method, route }) => method === 'GET' && route === '/');
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}
