import type { Compose } from './compose.ts';
import type { Environment, Places } from './places.ts';

export type Settings = Readonly<Record<string, string>>;

/** Tells the deployer what happens: a line a step for people, a JSON object a line for machines. */
export interface Reporter {
  /** A detail of the step that runs. */
  note(text: string): void;
  /** Something the deployer should know although all goes on. */
  warn(text: string): void;
}

/** What every command works with. */
export interface Context {
  environment: Environment;
  project: string;
  places: Places;
  /** `.env.<environment>` of the revision, overridden by the host's own. */
  settings: Settings;
  /** Of the release that is deployed, or of the live one for commands that deploy nothing. */
  compose: Compose;
  report: Reporter;
}
