import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { Failure } from './failure.ts';
import { databaseTag } from './images.ts';

const root = mkdtempSync(join(tmpdir(), 'database-tag-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const DOCKERFILE = `ARG SERVICE=gateway
FROM node:24-trixie-slim AS runtime
RUN true

# -- Postgres
FROM postgres:17 AS database
RUN apt-get update
COPY deploy/database /opt/gatehouse/database

# -- The deployer
FROM node:24-trixie-slim AS deployer
RUN true
`;
let source: string;
let tag: string;

beforeEach(() => {
  source = mkdtempSync(join(root, 'source-'));
  write('Dockerfile', DOCKERFILE);
  write('deploy/database/pgbackrest.conf', '[global]\n');
  write('deploy/database/bin/archive', '#!/bin/bash\n');
  tag = databaseTag(source);
});

test('the tag of the database image is twelve digits, the same for the same files anywhere', () => {
  const copy = mkdtempSync(join(root, 'copy-'));
  cpSync(source, copy, { recursive: true });

  expect(tag).toMatch(/^[0-9a-f]{12}$/);
  expect(databaseTag(copy)).toBe(tag);
});

test('a release that changes other stages, other code or a manual keeps the tag, and so the database running', () => {
  write('Dockerfile', DOCKERFILE.replaceAll('RUN true', 'RUN false').replace('The deployer', 'Deploying'));
  write('services/auth/src/main.ts', 'export {};\n');
  write('deploy/database/README.md', 'How it works\n');

  expect(databaseTag(source)).toBe(tag);
});

test.each([
  ['the stage', () => write('Dockerfile', DOCKERFILE.replace('RUN apt-get update', 'RUN apt-get update -q'))],
  ['its base', () => write('Dockerfile', DOCKERFILE.replace('postgres:17', 'postgres:18'))],
  ['a file', () => write('deploy/database/bin/archive', '#!/bin/sh\n')],
  ['a file more', () => write('deploy/database/bin/check', '#!/bin/bash\n')],
  [
    'a file under another name',
    () => {
      rmSync(join(source, 'deploy/database/bin/archive'));
      write('deploy/database/bin/archiver', '#!/bin/bash\n');
    },
  ],
])('%s changed changes the tag', (_, change) => {
  change();

  expect(databaseTag(source)).not.toBe(tag);
});

test('a Dockerfile without the stage is told, not hashed', () => {
  write('Dockerfile', 'FROM postgres:17 AS postgres\n');

  expect(() => databaseTag(source)).toThrow(Failure);
});

function write(path: string, text: string): void {
  mkdirSync(join(source, path, '..'), { recursive: true });
  writeFileSync(join(source, path), text);
}
