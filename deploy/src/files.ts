import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Replaces a file so that a reader, a crash or a power cut finds the old text or the new one, whole: written beside it,
 * flushed, renamed, and the folder flushed too.
 */
export function writeFileAtomically(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${randomBytes(6).toString('hex')}.draft`;
  try {
    flushed(draft, 'wx', text, mode);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** Adds to the end of a file and flushes it. */
export function appendFlushed(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  flushed(path, 'a', text, 0o644);
  syncFolder(dirname(path));
}

/** Makes the names in a folder as durable as the files they name. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function flushed(path: string, flags: string, text: string, mode: number): void {
  const file = openSync(path, flags, mode);
  try {
    const bytes = Buffer.from(text);
    // A full disk may take a part of it.
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    // Other users read it, whatever the deployer's umask is.
    fchmodSync(file, mode);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
