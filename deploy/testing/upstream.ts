import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An application behind the gateway that counts what it was sent, by the ledger's names. */
export interface CountingUpstream {
  /** How often each name arrived. */
  seen: Map<string, number>;
  close(): Promise<void>;
}

export function startUpstream(port: number): Promise<CountingUpstream> {
  const seen = new Map<string, number>();
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    if (req.method === 'POST') {
      const { ledger } = JSON.parse(text) as { ledger: string };
      seen.set(ledger, (seen.get(ledger) ?? 0) + 1);
    }
    res.writeHead(req.method === 'POST' ? 201 : 200, { 'content-type': 'application/json' }).end('{"ok":true}');
  });
  server.keepAliveTimeout = 65_000;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '0.0.0.0', () => {
      if ((server.address() as AddressInfo).port !== port) throw new Error('another port');
      resolve({
        seen,
        async close() {
          server.closeAllConnections();
          await new Promise((done) => server.close(done));
        },
      });
    });
  });
}
