import type { AddressInfo } from 'node:net';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { eventually } from './eventually.ts';

/** What the server does with the next mails: take them, refuse them for good or for now, stay silent, or hang up. */
export type MailBehaviour = 'accept' | 'refuse' | 'defer' | 'hang' | 'reset';

export interface ReceivedMail {
  from: string;
  to: string[];
  raw: string;
  parsed: ParsedMail;
}

export interface MailSink {
  host: string;
  port: number;
  mails: ReceivedMail[];
  behave(behaviour: MailBehaviour): void;
  /** The first mail for which the predicate holds; waits for it. */
  waitFor(predicate: (mail: ReceivedMail) => boolean, timeoutMs?: number): Promise<ReceivedMail>;
  clear(): void;
  close(): Promise<void>;
}

/** A real SMTP server on a free port that keeps what it receives, for tests and as mailbox of a development machine. */
export async function mailSink({ port = 0, host = '127.0.0.1' } = {}): Promise<MailSink> {
  const mails: ReceivedMail[] = [];
  let behaviour: MailBehaviour = 'accept';
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    closeTimeout: 100,
    logger: false,
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        if (behaviour === 'hang') return;
        if (behaviour === 'reset') return dropConnections(server);
        if (behaviour === 'refuse') return callback(replyError(550, 'Mailbox unavailable'));
        if (behaviour === 'defer') return callback(replyError(451, 'Try again later'));
        const raw = Buffer.concat(chunks);
        void simpleParser(raw).then((parsed) => {
          const { mailFrom, rcptTo } = session.envelope;
          const to = rcptTo.map(({ address }) => address);
          mails.push({ from: mailFrom ? mailFrom.address : '', to, raw: raw.toString(), parsed });
          callback();
        }, callback);
      });
    },
  });
  // A client that hangs up is its own affair.
  server.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    host,
    port: (server.server.address() as AddressInfo).port,
    mails,
    behave(next) {
      behaviour = next;
    },
    waitFor: (predicate, timeoutMs = 5_000) => eventually(() => mails.find(predicate), { timeoutMs }),
    clear() {
      mails.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        dropConnections(server);
      }),
  };
}

function dropConnections(server: SMTPServer): void {
  const { connections } = server as unknown as { connections: Set<{ _socket: { destroy(): void } }> };
  for (const connection of connections) connection._socket.destroy();
}

function replyError(code: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode: code });
}
