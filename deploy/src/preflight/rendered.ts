import type { Compose } from '../compose.ts';

/** What the preflight reads of the compose file, with every variable filled in. */
export interface Rendered {
  services: Record<string, RenderedService>;
}

export interface RenderedService {
  profiles?: string[];
  command?: string[] | null;
  scale?: number;
  cpus?: number;
  /** Bytes, as text. */
  mem_reservation?: string;
  volumes?: { source?: string; target: string }[];
  deploy?: { replicas?: number };
}

/** The compose file as Compose understands it, both colours; throws a CommandError that says what it does not. */
export async function renderCompose(compose: Compose): Promise<Rendered> {
  return JSON.parse(await compose.must(['--profile', 'green', 'config', '--format', 'json']));
}

export function replicasOf({ scale, deploy }: RenderedService): number {
  return scale ?? deploy?.replicas ?? 1;
}
