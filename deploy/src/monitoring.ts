import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Settings } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { writeFileAtomically } from './files.ts';
import type { Places } from './places.ts';

/**
 * Copies `monitoring/` of a source to the host, `${NAME}` filled from the settings, and removes what the source no
 * longer has. The containers mount the copy: a path that changed with every release would start them anew each time.
 * Returns the first folders in which something changed (`prometheus`, `alertmanager`, `grafana`, `blackbox`).
 */
export function writeMonitoring(source: string, places: Places, settings: Settings): string[] {
  const from = join(source, 'monitoring');
  const wanted = new Map(filesBelow(from).map((path) => [path, fill(join(from, path), settings)]));
  const changed = new Set<string>();
  for (const [path, text] of wanted) {
    const place = join(places.monitoring, path);
    if (existsSync(place) && readFileSync(place, 'utf8') === text) continue;
    // Read by users that the host does not know; nothing in it is secret.
    makeOpen(dirname(place), places.monitoring);
    writeFileAtomically(place, text);
    chmodSync(place, 0o644);
    changed.add(path.split('/')[0] ?? '');
  }
  for (const path of existsSync(places.monitoring) ? filesBelow(places.monitoring) : []) {
    if (wanted.has(path)) continue;
    rmSync(join(places.monitoring, path));
    changed.add(path.split('/')[0] ?? '');
  }
  return [...changed].sort();
}

// Whatever the deployer's umask is.
function makeOpen(folder: string, top: string): void {
  mkdirSync(folder, { recursive: true });
  for (let at = folder; at.startsWith(top); at = dirname(at)) chmodSync(at, 0o755);
}

function filesBelow(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => statSync(join(folder, path)).isFile()).sort();
}

/** Dashboards stay as they are: what looks like a setting there is Grafana's own. */
function fill(path: string, settings: Settings): string {
  if (!path.endsWith('.yml')) return readFileSync(path, 'utf8');
  const known: Settings = { ...settings, SERVER_HOST: settings['SERVER_NAME']?.split(/[\s,]+/)[0] ?? '' };
  return readFileSync(path, 'utf8').replaceAll(/\$\{([A-Z][A-Z0-9_]*)\}/g, (_, name: string) => {
    const value = known[name];
    if (!value) throw new Failure(EXIT.secrets, `${path} needs the setting ${name}, which is empty or missing`);
    return value;
  });
}
