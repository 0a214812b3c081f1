import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Client, type ClientOptions, openClient } from './client.ts';
import { openKeepsakes } from './demo/keepsakes.ts';
import { openMailbox } from './demo/mailbox.ts';
import { createNarrator } from './demo/narrator.ts';
import { STORIES } from './demo/stories.ts';
import { tell, Unexpected } from './demo/story.ts';
import { secretsOf } from './house/canaries.ts';

// `make demo`: plays a story against a running platform. STORY, PUBLIC_URL, MAILBOX_URL, DATA_DIR and CA_FILE choose others.
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
  const secrets = new Set<string>();
  const options: ClientOptions = {
    url,
    ca: readFileSync(caFile, 'utf8'),
    onLimited: (seconds, { path }) => narrator.note(`(limited at ${path}: waiting ${seconds} s)`),
    onExchange(call, answer) {
      for (const secret of secretsOf(call, answer)) secrets.add(secret);
      const { code } = (call.body ?? {}) as { code?: unknown };
      if (typeof code === 'string') secrets.add(code);
    },
  };
  const clients = [openClient(options)];
  const [client] = clients as [Client];
  // Limits count by address, and so does what makes a device a new one. Linux has all of 127/8.
  const local = ['localhost', '127.0.0.1'].includes(new URL(url).hostname) && process.platform === 'linux';
  const visitor = (agent: string) => {
    const from = `127.${randomInt(1, 250)}.${randomInt(250)}.${randomInt(1, 250)}`;
    const one = openClient({ ...options, agent, ...(local ? { from } : {}) });
    clients.push(one);
    return one;
  };
  const mailbox = openMailbox((env.MAILBOX_URL || 'http://127.0.0.1:4026').replace(/\/+$/, ''), url);
  const secret = (name: string) => {
    const file = env[`${name}_FILE`] || join(dataDir, 'secrets', name);
    return env[name] || (existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined);
  };
  const keepsakes = openKeepsakes(join(dataDir, 'demo.json'));
  const startedAt = new Date();
  await tell(story, { client, narrator, keepsakes, mailbox, visitor, secrets, secret, startedAt });
  for (const one of clients) one.close();
} catch (error) {
  process.stderr.write(`\nFAILED: ${explained(error as NodeJS.ErrnoException)}\n`);
  process.exit(1);
}

function explained(error: NodeJS.ErrnoException): string {
  if (error instanceof Unexpected) return `expected that ${error.message}`;
  if (error.code === 'ECONNREFUSED') return `nothing listens at ${url}: start the platform with make up`;
  return error.message || String(error);
}
