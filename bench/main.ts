// `make bench`: measures what Gatehouse promises of its speed, as ratios within one run, and prints the figures with
// the machine they come from. Exits 1 when a limit is missed. Arguments pick measures; FULL=1 takes the large log.
import { startUpstream } from './children.ts';
import { measureFootprint } from './footprint.ts';
import { measureGateway } from './gateway.ts';
import { measureGuard } from './guard.ts';
import { type House, openHouse } from './house.ts';
import { hasWrk } from './load.ts';
import { measureLogPages } from './log-pages.ts';
import { measureLogins } from './logins.ts';
import { measureReads } from './reads.ts';
import { measureRefresh } from './refresh.ts';
import { failed, type Line, machine, table } from './report.ts';
import { measureSealing } from './sealing.ts';
import { measureSessionLists } from './session-lists.ts';

const say = (text: string) => process.stdout.write(`${text}\n`);

async function measureAll(picked: readonly string[]): Promise<Line[]> {
  const [small, large] = process.env['FULL'] ? [1_000_000, 10_000_000] : [100_000, 1_000_000];
  const upstream = await startUpstream();
  const measures: Record<string, (house: House) => Promise<Line[]>> = {
    footprint: measureFootprint,
    gateway: (house) => measureGateway(house, upstream.url),
    guard: (house) => measureGuard(house, upstream.url),
    reads: measureReads,
    logins: measureLogins,
    refresh: measureRefresh,
    sessions: measureSessionLists,
    sealing: measureSealing,
    pages: (house) => measureLogPages(house, small, large),
  };
  const unknown = picked.find((name) => !(name in measures));
  if (unknown) throw new Error(`no measure ${unknown}; there are ${Object.keys(measures).join(', ')}`);
  try {
    const house = await openHouse(upstream.url);
    const stop = () => void house.close().finally(() => process.exit(130));
    process.once('SIGINT', stop).once('SIGTERM', stop);
    try {
      const { rows } = await house.asAdmin((admin) => admin.query('show server_version'));
      say(`${machine()}, PostgreSQL ${rows[0].server_version}; load by ${hasWrk ? 'wrk' : 'undici'}\n`);
      const lines: Line[] = [];
      for (const [name, measure] of Object.entries(measures)) {
        if (picked.length > 0 && !picked.includes(name)) continue;
        process.stderr.write(`measuring ${name} …\n`);
        lines.push(...(await measure(house).catch((error) => [failed(name, error)])));
      }
      return lines;
    } finally {
      await house.close();
    }
  } finally {
    await upstream.stop();
  }
}

const lines = await measureAll(process.argv.slice(2));
say(table(lines));
process.exit(lines.every(({ passed }) => passed) ? 0 : 1);
