import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { dirname } from 'node:path';
import { type AddressObject, simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { listPage, messagePage, PAGE_HEADERS } from './mailbox-pages.ts';

export interface MailMessage {
  id: string;
  message_id: string;
  from: string;
  to: string[];
  subject: string;
  text: string;
  html: string;
  received_at: string;
}

export interface MailboxOptions {
  smtpPort: number;
  webPort: number;
  /** Keeps the messages over a restart. */
  file: string;
}

export interface Mailbox {
  /** Newest first. */
  messages(): readonly MailMessage[];
  stop(): Promise<void>;
}

const KEPT = 200;
const MAX_BYTES = 5 * 1024 * 1024;

/**
 * Receives every mail of the development platform and shows it: a page for people, `GET /api/messages?to=` for tests
 * (newest first), `DELETE /api/messages` to empty it. Nothing leaves the machine.
 */
export async function startMailbox({ smtpPort, webPort, file }: MailboxOptions): Promise<Mailbox> {
  const messages = readMessages(file);
  const save = () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(messages), { mode: 0o600 });
  };
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onAuth: (_auth, _session, done) => done(null, { user: 'anyone' }),
    size: MAX_BYTES,
    disableReverseLookup: true,
    onData(stream, session, done) {
      simpleParser(stream)
        .then((mail) => {
          const { mailFrom, rcptTo } = session.envelope;
          messages.unshift({
            id: randomUUID(),
            message_id: mail.messageId ?? '',
            from: addresses(mail.from) || (mailFrom ? mailFrom.address : ''),
            to: rcptTo.map(({ address }) => address.toLowerCase()),
            subject: mail.subject ?? '',
            text: mail.text ?? '',
            html: mail.html || '',
            received_at: new Date().toISOString(),
          });
          messages.splice(KEPT);
          save();
          done();
        })
        .catch(done);
    },
  });
  // A client that goes away in the middle is no concern of the platform.
  smtp.on('error', () => undefined);
  const web = createServer((req, res) => {
    const [status, type, body] = answer(req, messages, save);
    res.writeHead(status, { 'content-type': type, ...PAGE_HEADERS }).end(body);
  });
  await listen(smtp.server as unknown as Server, smtpPort);
  try {
    await listen(web, webPort);
  } catch (error) {
    await new Promise<void>((resolve) => smtp.close(resolve));
    throw error;
  }
  return {
    messages: () => messages,
    async stop() {
      web.closeAllConnections();
      await Promise.all([
        new Promise<void>((resolve) => smtp.close(resolve)),
        new Promise((resolve) => web.close(resolve)),
      ]);
    },
  };
}

type Answer = [status: number, type: string, body: string];

function answer(req: IncomingMessage, messages: MailMessage[], save: () => void): Answer {
  // A page of another site can make a browser call us under a name of its own; it shall not read the mail.
  if (!/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(req.headers.host ?? '')) return [421, 'text/plain', ''];
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://localhost');
  const id = /^\/messages\/([\w-]+)$/.exec(pathname)?.[1];
  if (req.method === 'DELETE' && pathname === '/api/messages' && !isForeign(req)) {
    messages.length = 0;
    save();
    return [204, 'application/json', ''];
  }
  if (req.method !== 'GET') return [405, 'text/plain', 'method not allowed'];
  if (pathname === '/api/messages') {
    const to = searchParams.get('to')?.toLowerCase();
    const data = to ? messages.filter((message) => message.to.includes(to)) : messages;
    return [200, 'application/json', JSON.stringify({ data })];
  }
  if (pathname === '/') return [200, 'text/html; charset=utf-8', listPage(messages)];
  const message = messages.find((one) => one.id === id);
  if (!message) return [404, 'text/plain', 'not found'];
  return [200, 'text/html; charset=utf-8', messagePage(message)];
}

function isForeign(req: IncomingMessage): boolean {
  return req.headers.origin !== undefined && req.headers.origin !== `http://${req.headers.host}`;
}

function addresses(value: AddressObject | undefined): string {
  return value?.text ?? '';
}

function readMessages(file: string): MailMessage[] {
  if (!existsSync(file)) return [];
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as MailMessage[];
  } catch {
    return [];
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}
