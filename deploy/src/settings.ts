import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from './context.ts';
import { EXIT, Failure } from './failure.ts';
import { writeFileAtomically } from './files.ts';
import type { Environment, Places } from './places.ts';

/**
 * `.env.<environment>` of a source, overridden by the host's `settings.env`. Throws a Failure that names every line
 * that cannot be meant: a key that the environment does not have, a key given twice, a value that Compose and Node
 * would read differently.
 */
export function loadSettings(source: string, environment: Environment, places: Places): Settings {
  const path = join(source, `.env.${environment}`);
  if (!existsSync(path)) throw new Failure(EXIT.secrets, `${path} is missing: this revision has no such environment`);
  const mistakes: string[] = [];
  const settings = parse(path, mistakes);
  const overrides = existsSync(places.overrides) ? parse(places.overrides, mistakes) : {};
  for (const key of Object.keys(overrides))
    if (!(key in settings))
      mistakes.push(`${places.overrides}: ${key} is no setting of .env.${environment}${nearest(key, settings)}`);
  // A file of another environment under this one's name would deploy its ports and its host names.
  if (settings['ENVIRONMENT'] !== environment || (overrides['ENVIRONMENT'] ?? environment) !== environment)
    mistakes.push(`ENVIRONMENT must be ${environment} in ${path}, and in ${places.overrides} where it is given`);
  if (mistakes.length > 0) throw new Failure(EXIT.secrets, 'The settings cannot be read', mistakes);
  return { ...settings, ...overrides };
}

/** Writes settings as Compose and the services read them. */
export function writeMergedSettings(path: string, settings: Settings): void {
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`);
  writeFileAtomically(path, `# Merged by the deployer; changes here are lost.\n${lines.join('')}`);
}

/** Reads a file that `writeMergedSettings` wrote. */
export function readMergedSettings(path: string): Settings {
  const mistakes: string[] = [];
  const settings = parse(path, mistakes);
  if (mistakes.length > 0) throw new Failure(EXIT.secrets, 'The settings cannot be read', mistakes);
  return settings;
}

function parse(path: string, mistakes: string[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [index, line] of readFileSync(path, 'utf8').split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue;
    const [, key, value = ''] = /^\s*([A-Z][A-Z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    const mistake = key === undefined ? 'is not KEY=value' : mistakeIn(key, value, settings);
    // The value is never shown: somebody may have put a secret where none belongs.
    if (mistake) mistakes.push(`${path}:${index + 1}: ${key ?? 'the line'} ${mistake}`);
    else if (key !== undefined) settings[key] = value;
  }
  return settings;
}

function mistakeIn(key: string, value: string, settings: Settings): string | undefined {
  if (key in settings) return 'is given twice';
  if (/^["'`]|\$|\s#|\\/.test(value))
    return 'has a value with quotes around it, $, \\ or " #", which readers disagree about';
  return undefined;
}

function nearest(key: string, settings: Settings): string {
  const letters = (name: string) => [...name.replaceAll('_', '')].sort().join('');
  const found = Object.keys(settings).find(
    (name) => letters(name) === letters(key) || name.startsWith(key) || key.startsWith(name),
  );
  return found ? ` (${found}?)` : '';
}
