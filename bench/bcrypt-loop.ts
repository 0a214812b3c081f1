// The baseline of logins: bcrypt and nothing else, as many at once as the logins, one answer for each line read.
import { createInterface } from 'node:readline';
import bcrypt from 'bcrypt';

const cost = Number(process.argv[2]);
const hash = await bcrypt.hash('0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', cost);
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [count = 0, concurrency = 1] = line.split(' ').map(Number);
  const start = performance.now();
  let left = count;
  const work = async () => {
    while (left-- > 0) await bcrypt.compare('no password that anyone has', hash);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  process.stdout.write(`took ${(performance.now() - start) / 1000}\n`);
}
