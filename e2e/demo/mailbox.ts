import { setTimeout as delay } from 'node:timers/promises';
import { Unexpected } from './story.ts';

export interface Mail {
  id: string;
  to: string[];
  subject: string;
  text: string;
  html: string;
  received_at: string;
}

/** The mailbox of the development platform, where every mail ends up. */
export interface Mailbox {
  readonly url: string;
  /** Waits for a mail to an address in which a link to a page is; the newest of them. */
  waitForLink(to: string, page: string): Promise<{ mail: Mail; token: string }>;
  /** What has arrived for an address, newest first. */
  of(to: string): Promise<Mail[]>;
}

const WITHIN_MS = 20_000;

export function openMailbox(url: string, publicUrl: string): Mailbox {
  async function of(to: string): Promise<Mail[]> {
    const answer = await fetch(`${url}/api/messages?to=${encodeURIComponent(to)}`).catch(() => undefined);
    if (!answer?.ok) throw new Unexpected(`the mailbox of the platform answers at ${url} (make up starts it)`);
    return ((await answer.json()) as { data: Mail[] }).data;
  }
  return {
    url,
    of,
    async waitForLink(to, page) {
      // The token is a fragment, so that it reaches no server's log.
      const link = `${publicUrl}${page}#token=`;
      const deadline = performance.now() + WITHIN_MS;
      for (;;) {
        const mail = (await of(to)).find(({ text }) => text.includes(link));
        const token = mail && /^[\w.~-]+/.exec(mail.text.slice(mail.text.indexOf(link) + link.length))?.[0];
        if (token) return { mail, token };
        if (performance.now() > deadline) throw new Unexpected(`a mail to ${to} brings a link to ${page}`);
        await delay(150);
      }
    },
  };
}
