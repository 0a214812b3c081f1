import type { Context } from '../context.ts';
import { type Http, openHttp } from '../http.ts';
import { Unexpected } from './session.ts';

// Only mails of synthetic people end so, and of those only invitations are what is waited for.
const SERIES = /^job_mails_total\{([^}]*)\} (\d+)/gm;

/**
 * How many invitations to nowhere the workers that run have carried out: of either colour, since whoever is first takes
 * a job. Read from where Prometheus reads.
 */
export async function countWithheld({ compose, settings }: Pick<Context, 'compose' | 'settings'>): Promise<number> {
  const containers = await compose.containers(['worker-blue', 'worker-green']);
  const running = containers.filter(({ state }) => state === 'running');
  if (running.length === 0) throw new Unexpected('no worker runs');
  const port = settings['WORKER_OPS_PORT'];
  const counts = await Promise.all(
    running.map(({ addresses }) => {
      const address = addresses['obs'] ?? Object.values(addresses)[0];
      return countOf(openHttp({ url: `http://${address}:${port}`, timeoutMs: 2_000 }));
    }),
  );
  const answered = counts.filter((count) => count !== undefined);
  if (answered.length === 0) throw new Unexpected(`no worker answers on its port for operators (${port})`);
  return answered.reduce((sum, count) => sum + count, 0);
}

/** Undefined for one that does not answer: it may be ending just now. */
async function countOf(http: Http): Promise<number | undefined> {
  try {
    const { status, text } = await http.send({ method: 'GET', path: '/metrics' });
    if (status !== 200) return undefined;
    const series = [...text.matchAll(SERIES)].filter(
      ([, labels = '']) => labels.includes('template="invitation"') && labels.includes('outcome="withheld"'),
    );
    return series.reduce((sum, [, , count]) => sum + Number(count), 0);
  } catch {
    return undefined;
  } finally {
    http.close();
  }
}
