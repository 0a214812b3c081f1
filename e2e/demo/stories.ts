import { createKey, refuseKey, refuseViewer, useKey, useToken } from './access.ts';
import type { Cast } from './cast.ts';
import { revokeSession, showAudit } from './endings.ts';
import { bootstrap, greet, registerViewer, signIn, signOut } from './start.ts';
import type { Story } from './story.ts';

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

/** By the name that `STORY` chooses. */
// biome-ignore lint/suspicious/noExplicitAny: each story has a cast of its own, and only its own steps see it.
export const STORIES: Record<string, Story<any>> = { main };
