import { expectCode } from './expectations.ts';
import { bootstrap, type Staff } from './people.ts';
import { createSite, type Site, type SiteOptions } from './site.ts';
import { type CountingUpstream, startUpstream } from './upstream.ts';

export interface Installed {
  site: Site;
  upstream: CountingUpstream;
  staff: Staff;
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
    expectCode(await site.make('secrets'), 0);
    expectCode(await site.make('deploy'), 0);
    return { site, upstream, staff: await bootstrap(site), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
