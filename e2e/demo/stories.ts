import { randomBytes } from 'node:crypto';
import { createKey, refuseKey, refuseViewer, useKey, useToken } from './access.ts';
import { type Cast, invent } from './cast.ts';
import { revokeSession, showAudit } from './endings.ts';
import type { IdentityCast } from './identity/cast.ts';
import { enrol, signInElsewhere } from './identity/factors.ts';
import { accept, confirmAddress, invite } from './identity/joining.ts';
import { beAskedToReset, pressNotMe, reset, seeSessionsDead, signInAgain } from './identity/not-me.ts';
import { leave, showHistory, showTrail } from './identity/record.ts';
import { bootstrap, greet, registerViewer, signIn, signOut } from './start.ts';
import type { Scene, Story } from './story.ts';

const main: Story<Cast> = {
  title: 'The main job: from an empty platform to a sealed record of everything that happened',
  cast: () => ({ names: new Map() }),
  steps: [
    { title: 'The house answers', play: greet },
    { title: 'The first organization and its admin', play: bootstrap },
    { title: 'Ada, the admin, signs in', play: signIn },
    { title: 'Ada registers Vera, a viewer', play: registerViewer },
    { title: 'Ada makes an API key for a machine', play: createKey },
    { title: 'A request through the house, with a token', play: useToken },
    { title: 'A request through the house, with the key', play: useKey },
    { title: 'What Vera may not do', play: refuseViewer },
    { title: 'What a key may not do', play: refuseKey },
    { title: 'Vera ends her session', play: revokeSession },
    { title: 'The record of all that', play: showAudit },
    { title: 'Ada signs out', play: signOut },
  ],
};

const LAPTOP = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const PHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 ' +
  'Mobile/15E148 Safari/604.1';

/** New people at new addresses, so that the story can be told again where it was told before. */
function newcomers({ visitor }: Scene): IdentityCast {
  const telling = randomBytes(4).toString('hex');
  return {
    names: new Map(),
    person: invent('Vera', `vera-${telling}@story.test`),
    colleague: invent('Ben', `ben-${telling}@story.test`),
    laptop: { name: 'laptop', client: visitor(LAPTOP) },
    phone: { name: 'phone', client: visitor(PHONE) },
  };
}

const identity: Story<IdentityCast> = {
  title: 'An account in full: invited, confirmed, with a second factor, attacked, and safe again',
  cast: newcomers,
  steps: [
    { title: 'The house answers', play: greet },
    { title: 'The first organization and its admin', play: bootstrap },
    { title: 'Ada, the owner, signs in', play: signIn },
    { title: 'Ada invites Vera by mail', play: invite },
    { title: 'Vera accepts', play: accept },
    { title: 'Ben, whom Ada registers, confirms his address by the mail', play: confirmAddress },
    { title: 'Vera sets up an authenticator app', play: enrol },
    { title: 'Somebody signs in as Vera from a phone', play: signInElsewhere },
    { title: 'Vera presses "this was not me"', play: pressNotMe },
    { title: 'Every session is dead', play: seeSessionsDead },
    { title: 'The password, which somebody knows, is not enough to come back', play: beAskedToReset },
    { title: 'Vera sets a new one by the link of the mail', play: reset },
    { title: 'Vera signs in again, with both factors', play: signInAgain },
    { title: 'What Vera sees of it', play: showHistory },
    { title: 'What the platform has on record', play: showTrail },
    { title: 'Vera and Ben leave', play: leave },
  ],
};

/** By the name that `STORY` chooses. */
// biome-ignore lint/suspicious/noExplicitAny: each story has a cast of its own, and only its own steps see it.
export const STORIES: Record<string, Story<any>> = { main, identity };
