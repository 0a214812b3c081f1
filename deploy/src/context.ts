import type { Compose } from './compose.ts';
import type { Environment, Places } from './places.ts';

export type Settings = Readonly<Record<string, string>>;

/** Tells the deployer what happens: a line a step for people, a JSON object a line for machines. */
export interface Reporter {
  /**
   * Does one piece of work under a name that machines read and a title for people, and times it. The work may tell a
   * detail, shown where the step ends. Steps nest; what the work throws goes on to the caller.
   */
  step<T>(name: string, title: string, work: (detail: (text: string) => void) => Promise<T>): Promise<T>;
  /** A detail of the step that runs. */
  note(text: string): void;
  /** Something the deployer should know although all goes on. */
  warn(text: string): void;
  /** The answer of a command: the lines for people, or the data as one JSON line with `event` = name. */
  show(name: string, data: object, lines: readonly string[]): void;
  /** Every step that has ended, in that order: for the line in the history. */
  readonly steps: readonly StepRecord[];
}

export interface StepRecord {
  name: string;
  ms: number;
  result: 'ok' | 'failed';
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

/** What a command was given, as environment variables; empty or false when it was not. */
export interface Variables {
  to: string;
  from: string;
  at: string;
  service: string;
  confirm: string;
  plan: boolean;
  /** Why checks that can be overruled are: `FORCE='the fix for …'`; `1` gives no reason. */
  force: string;
  /** How long to wait for a command that holds the lock. */
  lockWaitSeconds: number;
  dryRun: boolean;
  /** What is deployed: anything that Git can resolve. */
  revision: string;
  contract: boolean;
  recreate: string;
}

export type Command = (context: Context, variables: Variables) => Promise<void>;
