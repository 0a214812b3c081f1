import type { Client } from '../client.ts';
import type { Keepsakes } from './keepsakes.ts';
import type { Mailbox } from './mailbox.ts';
import type { Narrator } from './narrator.ts';

/** What every step of every story has at hand. */
export interface Scene {
  /** Reaches the platform with no credential; `client.as(token)` with one. */
  client: Client;
  narrator: Narrator;
  keepsakes: Keepsakes;
  mailbox: Mailbox;
  /** A browser that nobody has used, at an address of its own. */
  visitor(agent: string): Client;
  /** Every password, code and token that this telling has sent or been given. */
  secrets: ReadonlySet<string>;
  /** When this telling began. */
  startedAt: Date;
  secret(name: string): string | undefined;
}

export interface Step<Cast> {
  title: string;
  play(scene: Scene, cast: Cast): Promise<void>;
}

/** A story is a table of steps; what one step finds out, the cast carries to the next. */
export interface Story<Cast> {
  title: string;
  cast(scene: Scene): Cast;
  steps: readonly Step<Cast>[];
}

/** An expectation that the platform did not meet; its message is the line that ends the demo. */
export class Unexpected extends Error {}

export function expect(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new Unexpected(expectation);
}

/** Tells a story step by step; throws at the first expectation that fails. */
export async function tell<Cast>({ title, cast, steps }: Story<Cast>, scene: Scene): Promise<void> {
  const { narrator } = scene;
  narrator.title(title);
  const players = cast(scene);
  for (const [index, step] of steps.entries()) {
    narrator.step(index + 1, step.title);
    await step.play(scene, players);
  }
  narrator.end();
}
