import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { eventually } from './eventually.ts';

/**
 * What the server does with the next mails: take them, refuse them for good or for now, stay silent, answer so slowly
 * that it never falls silent (drip), hang up without taking them (reset), hang up after it has taken them
 * (accept-then-reset), or take one every few seconds (tarpit).
 */
export type MailBehaviour = 'accept' | 'refuse' | 'defer' | 'hang' | 'drip' | 'reset' | 'accept-then-reset' | 'tarpit';

export interface ReceivedMail {
  from: string;
  to: string[];
  raw: string;
  parsed: ParsedMail;
  /** Who signed in to send it, and whether the connection was encrypted. */
  user: string | undefined;
  secure: boolean;
}

export interface MailSink {
  host: string;
  port: number;
  mails: ReceivedMail[];
  /** Connections made so far. */
  connections(): number;
  /** `everyMs` is the time between two mails of a tarpit, or between two bytes of a drip. */
  behave(behaviour: MailBehaviour, everyMs?: number): void;
  /** The first mail for which the predicate holds; waits for it. */
  waitFor(predicate: (mail: ReceivedMail) => boolean, timeoutMs?: number): Promise<ReceivedMail>;
  /** Called when a mail was taken, before the client is told so. */
  beforeAnswer: ((mail: ReceivedMail) => unknown) | undefined;
  clear(): void;
  close(): Promise<void>;
}

interface SinkOptions {
  port?: number;
  host?: string;
  /** Offers STARTTLS with this certificate, or speaks TLS from the start. */
  tls?: { key: string; cert: string; implicit?: boolean };
  /** Takes mails only from who signs in so. */
  auth?: { user: string; password: string };
}

const EVERY_MS = 5_000;

/** A real SMTP server on a free port that keeps what it receives, for tests and as mailbox of a development machine. */
export async function mailSink({ port = 0, host = '127.0.0.1', tls, auth }: SinkOptions = {}): Promise<MailSink> {
  const mails: ReceivedMail[] = [];
  let behaviour: MailBehaviour = 'accept';
  let everyMs = EVERY_MS;
  let connections = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const server = new SMTPServer({
    ...(tls ? { key: tls.key, cert: tls.cert, secure: tls.implicit ?? false } : {}),
    authOptional: !auth,
    disabledCommands: [...(tls && !tls.implicit ? [] : ['STARTTLS' as const]), ...(auth ? [] : ['AUTH' as const])],
    disableReverseLookup: true,
    closeTimeout: 100,
    logger: false,
    onConnect(_session, callback) {
      connections += 1;
      callback();
    },
    onAuth({ username, password }, _session, callback) {
      if (username === auth?.user && password === auth?.password) callback(null, { user: username });
      else callback(replyError(535, 'Authentication failed'));
    },
    // A client that goes away in the middle makes an error of its stream.
    onData: (stream, session, callback) => void receive({ stream, session, callback }).catch(callback),
  });

  type Data = Parameters<NonNullable<SMTPServerOptions['onData']>>;
  async function receive({ stream, session, callback }: { stream: Data[0]; session: Data[1]; callback: Data[2] }) {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const keep = async () => {
      const raw = Buffer.concat(chunks);
      const parsed = await simpleParser(raw);
      const { mailFrom, rcptTo } = session.envelope;
      const to = rcptTo.map(({ address }) => address);
      const { user, secure } = session;
      const mail = { from: mailFrom ? mailFrom.address : '', to, raw: raw.toString(), parsed, user, secure };
      mails.push(mail);
      await sink.beforeAnswer?.(mail);
    };
    switch (behaviour) {
      case 'hang':
        return;
      case 'drip':
        return drip(socketOf(server, session.id), everyMs);
      case 'reset':
        return dropConnections(server);
      case 'refuse':
        return callback(replyError(550, 'Mailbox unavailable'));
      case 'defer':
        return callback(replyError(451, 'Try again later'));
      case 'accept-then-reset':
        await keep();
        return socketOf(server, session.id)?.resetAndDestroy();
      case 'tarpit':
        // Who gave up waiting is passed over.
        turn = turn.then(() => (socketOf(server, session.id)?.writable ? delay(everyMs) : undefined));
        await turn;
        if (!socketOf(server, session.id)?.writable) return;
    }
    await keep();
    callback();
  }

  // A client that hangs up is its own affair.
  server.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const sink: MailSink = {
    host,
    port: (server.server.address() as AddressInfo).port,
    mails,
    connections: () => connections,
    behave(next, pauseMs = EVERY_MS) {
      behaviour = next;
      everyMs = pauseMs;
    },
    waitFor: (predicate, timeoutMs = 5_000) => eventually(() => mails.find(predicate), { timeoutMs }),
    beforeAnswer: undefined,
    clear() {
      mails.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        dropConnections(server);
      }),
  };
  return sink;
}

interface Connection {
  id: string;
  _socket: Socket;
}
const connectionsOf = (server: SMTPServer) => [...(server as unknown as { connections: Set<Connection> }).connections];
const socketOf = (server: SMTPServer, id: string) => connectionsOf(server).find((one) => one.id === id)?._socket;

/** An answer of many lines that never comes to its last one. */
async function drip(socket: Socket | undefined, everyMs: number): Promise<void> {
  while (socket?.writable) {
    for (const sign of '250-wait\r\n') {
      if (socket.writable) socket.write(sign);
      await delay(everyMs);
    }
  }
}

function dropConnections(server: SMTPServer): void {
  for (const { _socket } of connectionsOf(server)) _socket.destroy();
}

function replyError(code: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode: code });
}
