import { expectCode } from './expectations.ts';
import { bootstrap, type Staff } from './people.ts';
import { createSite, type Site, type SiteOptions } from './site.ts';
import { type CountingUpstream, startUpstream } from './upstream.ts';

export interface Installed {
  site: Site;
  upstream: CountingUpstream;
  staff: Staff;
  /** What `make secrets` printed once. */
  recoveryKey: string;
  remove(): Promise<void>;
}

/** A site with a first release on it, an upstream of the test's own, and somebody who may do everything. */
export async function install(options: SiteOptions): Promise<Installed> {
  const site = await createSite(options);
  const upstream = await startUpstream(site.upstreamPort);
  async function remove(): Promise<void> {
    await upstream.close();
    await site.remove();
  }
  try {
    const secrets = await site.make('secrets');
    expectCode(secrets, 0);
    const recoveryKey = String(secrets.events.find(({ event }) => event === 'recovery_key')?.['key'] ?? '');
    expectCode(await site.make('deploy'), 0);
    return { site, upstream, recoveryKey, staff: await bootstrap(site), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
