import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A Chromium of this machine, when it has one. */
export const chromium = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
  (path) => path && existsSync(path),
);

export interface Tab {
  /** Opens an address, also one that differs from the present one in its fragment only, and waits until it is there. */
  open(url: string): Promise<void>;
  /** What an expression in the page comes to. */
  read<T>(expression: string): Promise<T>;
  /** Types as a person would, into what has the focus. */
  type(text: string): Promise<void>;
  press(key: 'Enter' | 'Tab' | 'Space'): Promise<void>;
  look(options: { dark?: boolean; width?: number }): Promise<void>;
  screenshot(file: string): Promise<void>;
  /** What the browser complained of: errors of scripts and of the content security policy. */
  complaints: string[];
}

const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--remote-debugging-port=0'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
];

/** Starts a Chromium with one tab and speaks its DevTools protocol. */
export async function startBrowser(): Promise<{ tab: Tab; stop(): Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), 'gatehouse-chromium-'));
  const child = spawn(chromium ?? '', [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const origin = new URL(await listeningAt(child)).host;
  const targets = (await (await fetch(`http://${origin}/json/list`)).json()) as {
    type: string;
    webSocketDebuggerUrl: string;
  }[];
  const socket = new WebSocket(targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl ?? '');
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  const tab = await tabOf(socket);
  return {
    tab,
    async stop() {
      socket.close();
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function listeningAt(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const url = /DevTools listening on (\S+)/.exec(said)?.[1];
      if (url) resolve(url);
    });
    child.once('exit', () => reject(new Error(`the browser ended: ${said}`)));
  });
}

interface Message {
  id?: number;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { message: string };
}

async function tabOf(socket: WebSocket): Promise<Tab> {
  const complaints: string[] = [];
  const answers = new Map<number, (message: Message) => void>();
  const loads: (() => void)[] = [];
  let sent = 0;
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id !== undefined) answers.get(message.id)?.(message);
    else if (message.method === 'Page.loadEventFired') for (const loaded of loads.splice(0)) loaded();
    else if (message.method === 'Log.entryAdded' || message.method === 'Runtime.exceptionThrown')
      complaints.push(JSON.stringify(message.params));
  });
  const call = <T>(method: string, params: object = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = ++sent;
      answers.set(id, ({ result, error }) => (error ? reject(new Error(error.message)) : resolve(result as T)));
      socket.send(JSON.stringify({ id, method, params }));
    });
  const loaded = () => new Promise<void>((resolve) => loads.push(resolve));
  for (const domain of ['Page', 'Runtime', 'Log']) await call(`${domain}.enable`);

  const KEYS = { Enter: ['\r', 13], Tab: ['', 9], Space: [' ', 32] } as const;
  return {
    complaints,
    async open(url) {
      const ready = loaded();
      await call('Page.navigate', { url });
      await ready;
    },
    async read<T>(expression: string) {
      const options = { expression, awaitPromise: true, returnByValue: true };
      return (await call<{ result: { value: T } }>('Runtime.evaluate', options)).result.value;
    },
    async type(text) {
      await call('Input.insertText', { text });
    },
    async press(key) {
      const [text, code] = KEYS[key];
      const event = { key: text.trim() || key, code: key, windowsVirtualKeyCode: code, ...(text ? { text } : {}) };
      await call('Input.dispatchKeyEvent', { ...event, type: text ? 'keyDown' : 'rawKeyDown' });
      await call('Input.dispatchKeyEvent', { ...event, type: 'keyUp' });
    },
    async look({ dark = false, width = 800 }) {
      const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }];
      await call('Emulation.setEmulatedMedia', { features });
      await call('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: false });
    },
    async screenshot(file) {
      const { data } = await call<{ data: string }>('Page.captureScreenshot', { captureBeyondViewport: true });
      writeFileSync(file, Buffer.from(data, 'base64'));
    },
  };
}
