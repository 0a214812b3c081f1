import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { writeFileAtomically } from '../files.ts';
import type { Environment, Places } from '../places.ts';
import { makeRecoveryKey, seal, unseal } from './seal.ts';
import { isRoot, readFolder, type StoredFile, writeFiles } from './vault.ts';

/** What a sealed file holds, as JSON. */
interface Sealed {
  version: 1;
  environment: Environment;
  sealed_at: string;
  files: { path: string; uid: number; mode: number; content: string }[];
}

const RECOVERY = 'recovery.pub';
/** Which content the newest sealed file has, so that every deploy does not make another. */
const RECORD = 'sealed.json';
const PATH = /^(secrets\/[a-z]+\/[A-Za-z0-9_.]+|tls\/[A-Za-z0-9_-]+\.pem|settings\.env|recovery\.pub)$/;

/** Makes the recovery key on the first run; its private half is shown and never written anywhere. */
export function ensureRecoveryKey(places: Places, announce: (key: string) => void = print): string[] {
  const path = join(places.state, RECOVERY);
  if (existsSync(path)) return [];
  const { publicKey, privateKey } = makeRecoveryKey();
  // Shown first: a public half whose private half nobody has seen would seal for nobody.
  announce(privateKey);
  writeFileAtomically(path, `${publicKey}\n`);
  return [RECOVERY];
}

/**
 * Encrypts all secrets, the host's settings and the site's certificate to the recovery key, into
 * `<backups>/secrets/<timestamp>.sealed`. Returns the path; that of the newest one when nothing has changed since.
 */
export async function sealSecrets({ places, environment }: Context): Promise<string> {
  const recovery = join(places.state, RECOVERY);
  if (!existsSync(recovery))
    throw new Failure(EXIT.secrets, `${recovery} is missing`, [`make secrets ENV=${environment} makes one.`]);
  const files = filesToSeal(places);
  const digest = createHash('sha256').update(JSON.stringify(files)).digest('hex');
  const before = readRecord(places);
  if (before?.digest === digest && existsSync(before.path)) return before.path;
  const now = new Date().toISOString();
  const content: Sealed = { version: 1, environment, sealed_at: now, files };
  const sealed = seal(Buffer.from(JSON.stringify(content)), readFileSync(recovery, 'utf8').trim());
  const name = `secrets/${now.replaceAll(/[:-]|\.\d+/g, '')}.sealed`;
  mkdirSync(places.backups, { recursive: true });
  writeFiles(places.backups, [{ path: name, uid: process.getuid?.() ?? 0, mode: 0o400, content: sealed }], 0o755);
  const path = join(places.backups, name);
  writeFileAtomically(join(places.state, RECORD), `${JSON.stringify({ digest, path })}\n`, 0o600);
  return path;
}

/** What a restore did with each file. */
export interface Restored {
  sealedAt: string;
  restored: string[];
  /** Were there already; left as they are. */
  kept: string[];
}

/** Opens a sealed file into an empty folder of secrets. Throws a Failure that says what stands in the way. */
export function restoreSecrets({ places, environment }: Context, sealed: Buffer, recoveryKey: string): Restored {
  if (readFolder(places.secrets).length > 0)
    throw new Failure(EXIT.secrets, `${places.secrets} is not empty, and nothing is overwritten`, [
      `Move it aside first: mv ${places.secrets} ${places.secrets}.before`,
    ]);
  const content = open(sealed, recoveryKey);
  if (content.environment !== environment)
    throw new Failure(EXIT.secrets, `The sealed copy is of ${content.environment}, not of ${environment}`);
  const strange = content.files.find(({ path }) => !PATH.test(path) || path.includes('..'));
  if (strange) throw new Failure(EXIT.secrets, `The sealed copy names a file that is none of ours: ${strange.path}`);
  const kept = content.files.filter(({ path }) => existsSync(join(places.state, path))).map(({ path }) => path);
  const files = content.files.filter(({ path }) => !kept.includes(path));
  for (const [folder, mode] of [
    ['secrets', 0o700],
    ['tls', 0o755],
  ] as const)
    writeFiles(join(places.state, folder), below(folder, files), mode);
  writeFiles(places.state, files.filter(({ path }) => !path.includes('/')).map(decoded), 0o755);
  return { sealedAt: content.sealed_at, restored: files.map(({ path }) => path), kept };
}

function open(sealed: Buffer, recoveryKey: string): Sealed {
  try {
    return JSON.parse(unseal(sealed, recoveryKey).toString()) as Sealed;
  } catch (error) {
    throw new Failure(EXIT.secrets, `The sealed copy ${(error as Error).message}`);
  }
}

function filesToSeal(places: Places): Sealed['files'] {
  const encoded = (prefix: string) => (file: StoredFile) => {
    return { ...file, path: prefix + file.path, content: file.content.toString('base64') };
  };
  const own = ['settings.env', RECOVERY].flatMap((path): StoredFile[] => {
    const full = join(places.state, path);
    return existsSync(full) ? [{ path, uid: owner(), mode: 0o644, content: readFileSync(full) }] : [];
  });
  const files = [
    ...readFolder(places.secrets).map(encoded('secrets/')),
    ...readFolder(places.tls).map(encoded('tls/')),
    ...own.map(encoded('')),
  ];
  return files.filter(({ path }) => PATH.test(path)).sort((one, other) => (one.path < other.path ? -1 : 1));
}

function below(folder: string, files: Sealed['files']): StoredFile[] {
  const prefix = `${folder}/`;
  const inside = files.filter(({ path }) => path.startsWith(prefix));
  return inside.map((file) => ({ ...decoded(file), path: file.path.slice(prefix.length) }));
}

function decoded(file: Sealed['files'][number]): StoredFile {
  const mine = file.path.startsWith('secrets/authority/') || !file.path.includes('/');
  return { ...file, uid: mine ? owner() : file.uid, content: Buffer.from(file.content, 'base64') };
}

function readRecord(places: Places): { digest: string; path: string } | undefined {
  const path = join(places.state, RECORD);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { digest: string; path: string }) : undefined;
}

function owner(): number {
  return isRoot() ? 0 : (process.getuid?.() ?? 0);
}

function print(recoveryKey: string): void {
  // Not through the reporter, which may keep what it is told.
  if (process.env['JSON'] === '1') writeSync(1, `${JSON.stringify({ event: 'recovery_key', key: recoveryKey })}\n`);
  else
    writeSync(
      1,
      `\nTHE RECOVERY KEY, shown this once and stored nowhere:\n\n    ${recoveryKey}\n\n` +
        'Keep it offline, where this host is not. With it and a sealed copy, all secrets come back; without it,\n' +
        'whoever loses this host loses them, and with them every password, second factor and backup.\n\n',
    );
}
