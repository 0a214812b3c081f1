import type { Context } from '../context.ts';
import type { Colour } from '../places.ts';
import { type Release, writeLive } from '../state.ts';
import { namedColour } from './edge.ts';
import { prepareRelease } from './release.ts';

/** Takes over what `docker compose up` has started without this program, so that it too is replaced without a pause. */
export async function adoptByHand(context: Context): Promise<Release | null> {
  const { compose, places, report } = context;
  const running = (await compose.containers()).filter(({ state }) => state === 'running');
  const colour: Colour = namedColour(places) ?? 'blue';
  const gateway = running.find(({ service }) => service === `gateway-1-${colour}`);
  if (!gateway || !running.some(({ service }) => service === 'nginx')) return null;
  const revision = gateway.image.split(':').at(-1) ?? '';
  if (!/^[0-9a-f]{12}$/.test(revision)) {
    report.warn(`${gateway.image} serves, which is no release of this repository: it is replaced in place.`);
    return null;
  }
  await prepareRelease(context, revision).catch(() =>
    report.warn(`The source of ${revision}, which serves, is not in this checkout.`),
  );
  writeLive(places, { revision, colour, since: gateway.startedAt.toISOString(), previous: null });
  report.note(`Took over ${revision} (${colour}), which was started by hand`);
  return { revision, colour };
}
