import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ManagedProcess } from '../dev/src/processes.ts';
import { residentMiB } from './cpu.ts';
import type { House } from './house.ts';
import { atMost, type Line } from './report.ts';
import { figure } from './rounds.ts';

const STARTS = 5;
const IDLE_MS = 10_000;
const NAMES = ['auth', 'org', 'audit', 'worker', 'gateway'];

/** How soon each process takes connections after its start, and what memory it holds when it then has nothing to do. */
export async function measureFootprint({ platform }: House): Promise<Line[]> {
  const lines: Line[] = [];
  const processes = NAMES.map((name) => platform.process(name));
  for (const process of processes) {
    const times: number[] = [];
    for (let start = 0; start < STARTS; start++) times.push(await restart(process));
    lines.push(atMost(`${process.name}: time from exec to listening`, figure(times), 0.5, ' s'));
  }
  await delay(IDLE_MS);
  for (const process of processes) {
    const resident = figure([residentMiB(process.pid() ?? 0)]);
    lines.push(atMost(`${process.name}: resident memory, idle`, resident, 100, ' MiB'));
  }
  return lines;
}

/** Seconds until its port takes a connection. */
async function restart(process: ManagedProcess): Promise<number> {
  await process.stop();
  const start = performance.now();
  process.start();
  while (!(await accepts(Number(new URL(process.url).port)))) await delay(1);
  const seconds = (performance.now() - start) / 1000;
  await process.ready();
  return seconds;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.end());
  });
}
