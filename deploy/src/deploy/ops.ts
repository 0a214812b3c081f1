import { request } from 'node:http';
import type { Container } from '../compose.ts';
import type { Settings } from '../context.ts';

/** Where a process answers operators. The host reaches the addresses of containers, of internal networks too. */
export function opsUrl({ service, addresses }: Container, settings: Settings): string | undefined {
  const process = service.replace(/-(?:blue|green)$/, '').replace(/-\d+$/, '');
  const port = settings[`${process.toUpperCase()}_OPS_PORT`];
  const address = addresses['obs'] ?? Object.values(addresses)[0];
  return port && address ? `http://${address}:${port}` : undefined;
}

export interface OpsAnswer {
  /** 0 when there was no answer; the text says why. */
  status: number;
  text: string;
}

/** One question on a connection of its own. Never throws: no answer is an answer too. */
export function askOps(url: string, timeoutMs = 3_000): Promise<OpsAnswer> {
  return new Promise((resolve) => {
    const asking = request(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.once('error', (error) => resolve({ status: 0, text: error.message }));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asking.once('error', (error) => resolve({ status: 0, text: error.message }));
    asking.end();
  });
}

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** The samples of one metric in the text format of Prometheus. */
export function samplesOf(text: string, name: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, found, pairs = '', value] = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (found !== name) continue;
    const labels: Record<string, string> = {};
    for (const [, label = '', text = ''] of pairs.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label] = text;
    samples.push({ labels, value: Number(value) });
  }
  return samples;
}

export function sumOf(text: string, name: string, matches: (labels: Record<string, string>) => boolean = () => true) {
  return samplesOf(text, name)
    .filter(({ labels }) => matches(labels))
    .reduce((sum, { value }) => sum + value, 0);
}
