import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from '../compose.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { type Colour, servicesOf } from '../places.ts';
import { containersOf, logsOf } from './colour.ts';
import { askOps, opsUrl } from './ops.ts';

const IN_A_ROW = 3;
const EVERY_MS = 1_000;
const LIMIT_MS = 60_000;
const SHOWN_LINES = 20;
const LINE_LENGTH = 600;

/**
 * Resolves when every instance of the colour has said three times in a row that it is ready. What the engine has had to
 * restart will not be trusted, unless that was before: `known` are containers as they were when they served.
 */
export async function awaitReady(context: Context, colour: Colour, known: readonly Container[] = []): Promise<void> {
  const restartsOf = new Map(known.map(({ id, restarts }) => [id, restarts]));
  const ready = new Map<string, number>();
  const last = new Map<string, string>();
  for (const deadline = Date.now() + LIMIT_MS; ; await delay(EVERY_MS)) {
    const containers = await containersOf(context, colour);
    const crashed = containers.find((container) => hasCrashed(container, restartsOf.get(container.id)));
    if (crashed) throw await unhealthy(crashed, howItCrashed(crashed));
    await Promise.all(
      containers.map(async (container) => {
        const { ok, why } = await isReady(container, context);
        ready.set(container.id, ok ? (ready.get(container.id) ?? 0) + 1 : 0);
        last.set(container.id, why);
      }),
    );
    const waiting = containers.find(({ id }) => (ready.get(id) ?? 0) < IN_A_ROW);
    const missing = servicesOf(colour).find((name) => !containers.some(({ service }) => service === name));
    if (!waiting && !missing) return;
    if (Date.now() < deadline) continue;
    if (missing) throw new Failure(EXIT.unhealthy, `${missing} has no container`);
    if (waiting) throw await unhealthy(waiting, `is not ready: ${last.get(waiting.id) ?? ''}`);
  }
}

/** A container that has ended once will not be trusted with traffic, although the engine starts it again. */
export function hasCrashed({ state, restarts }: Container, before = 0): boolean {
  return restarts > before || state === 'restarting' || state === 'exited' || state === 'dead';
}

function howItCrashed({ exitCode, restarts }: Container): string {
  return restarts > 0 ? 'ends again and again' : `has ended with code ${exitCode}`;
}

export async function isReady(container: Container, { settings }: Context): Promise<{ ok: boolean; why: string }> {
  const url = opsUrl(container, settings);
  if (!url) return { ok: false, why: `it is ${container.state} and has no address` };
  const { status, text } = await askOps(`${url}/readyz`);
  return { ok: status === 200, why: status === 0 ? text : `${status} ${text.slice(0, 300)}` };
}

async function unhealthy({ id, service }: Container, what: string): Promise<Failure> {
  const shown = (await logsOf(id)).slice(-SHOWN_LINES);
  const lines = shown.map((line) => line.slice(0, LINE_LENGTH));
  return new Failure(EXIT.unhealthy, `${service} ${what}`, [`The last lines of ${service}:`, ...lines]);
}
