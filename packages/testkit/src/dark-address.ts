import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface DarkAddress {
  end(): void;
}

/**
 * Takes an address as a host does that is gone: nobody refuses, nobody answers. The full queue of a listener that does
 * not run does that on any machine.
 */
export async function takeAsDark(port: number, host = '127.0.0.1'): Promise<DarkAddress> {
  const listen = `require('node:net').createServer().listen({ port: ${port}, host: '${host}', backlog: 1 }, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] });
  const sockets: Socket[] = [];
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  for (let queued = true; queued; ) {
    const socket = connect(port, host).on('error', () => undefined);
    sockets.push(socket);
    queued = await Promise.race([once(socket, 'connect').then(() => true), delay(300, false)]);
  }
  return {
    end() {
      for (const socket of sockets) socket.destroy();
      child.kill('SIGKILL');
    },
  };
}
