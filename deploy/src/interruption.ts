import { namedColour } from './deploy/edge.ts';
import { type Places, placesOf } from './places.ts';
import { environmentOf } from './project.ts';
import { readJournal } from './state.ts';

/** What whoever stops a command has to know: whom users reach now, and what clears up. */
export function whatIsLeft(env: NodeJS.ProcessEnv): string[] {
  const environment = environmentOf(env);
  return [
    usersOf(placesOf(env['STATE_DIR'] || `/var/lib/gatehouse/${environment}`)),
    `What was begun is finished or undone by the next make deploy ENV=${environment}, before anything else.`,
  ];
}

function usersOf(places: Places): string {
  const journal = readJournal(places);
  if (!journal) return 'Users are where they were.';
  const { revision, colour, from, stage } = journal;
  if (stage === 'switched' && namedColour(places) === colour)
    return `USERS ARE ON ${revision} (${colour}), which has not proven itself yet. ${from ? `Run it now: it goes back to ${from.revision} first.` : ''}`;
  if (stage === 'finishing') return `Users are on ${revision} (${colour}), which has proven itself.`;
  return from
    ? `Users are on ${from.revision} (${from.colour}), as before.`
    : 'Nothing was live before, and nothing is.';
}
