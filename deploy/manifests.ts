// At build: copies what `npm ci` reads of the repository, without the versions of its own packages. A release that only
// raises a version then finds its dependencies in BuildKit's cache, and on the host's disk. Takes two folders.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [from = '', to = ''] = process.argv.slice(2);
const lock = JSON.parse(readFileSync(join(from, 'package-lock.json'), 'utf8'));
delete lock.version;
for (const [path, entry] of Object.entries<Record<string, unknown>>(lock.packages)) {
  if (path.includes('node_modules')) continue;
  delete entry['version'];
  const manifest = JSON.parse(readFileSync(join(from, path, 'package.json'), 'utf8'));
  delete manifest.version;
  write(join(path, 'package.json'), manifest);
}
write('package-lock.json', lock);
writeFileSync(join(to, '.npmrc'), readFileSync(join(from, '.npmrc')));

function write(path: string, content: unknown): void {
  mkdirSync(dirname(join(to, path)), { recursive: true });
  writeFileSync(join(to, path), JSON.stringify(content));
}
