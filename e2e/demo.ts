import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openClient } from './client.ts';
import { openKeepsakes } from './demo/keepsakes.ts';
import { createNarrator } from './demo/narrator.ts';
import { STORIES } from './demo/stories.ts';
import { tell, Unexpected } from './demo/story.ts';

// `make demo`: plays a story against a running platform. STORY, PUBLIC_URL, DATA_DIR and CA_FILE choose others.
const { env } = process;
const url = (env.PUBLIC_URL || 'https://localhost:8443').replace(/\/+$/, '');
const dataDir = resolve(env.DATA_DIR || join(import.meta.dirname, '..', '.data'));
const caFile = env.CA_FILE || join(dataDir, 'certificates', 'ca.pem');
// Whoever reads along may stop reading: demo | head.
process.stdout.on('error', () => process.exit(0));
const narrator = createNarrator((line) => process.stdout.write(`${line}\n`), process.stdout.isTTY === true);

try {
  const story = STORIES[env.STORY || 'main'];
  if (!story) throw new Unexpected(`STORY is one of ${Object.keys(STORIES).join(', ')}, not ${env.STORY}`);
  if (!existsSync(caFile))
    throw new Unexpected(`the authority of ${url} is not at ${caFile}: is the platform up? (make up)`);
  mkdirSync(dataDir, { recursive: true });
  const client = openClient({
    url,
    ca: readFileSync(caFile, 'utf8'),
    onLimited: (seconds, { path }) => narrator.note(`(limited at ${path}: waiting ${seconds} s)`),
  });
  const secret = (name: string) => {
    const file = env[`${name}_FILE`] || join(dataDir, 'secrets', name);
    return env[name] || (existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined);
  };
  const keepsakes = openKeepsakes(join(dataDir, 'demo.json'));
  await tell(story, { client, narrator, keepsakes, secret, startedAt: new Date() });
  client.close();
} catch (error) {
  process.stderr.write(`\nFAILED: ${explained(error as NodeJS.ErrnoException)}\n`);
  process.exit(1);
}

function explained(error: NodeJS.ErrnoException): string {
  if (error instanceof Unexpected) return `expected that ${error.message}`;
  if (error.code === 'ECONNREFUSED') return `nothing listens at ${url}: start the platform with make up`;
  return error.message || String(error);
}
