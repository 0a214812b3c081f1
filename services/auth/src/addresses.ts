import { isIPv4, isIPv6 } from 'node:net';
import { z } from 'zod';

export { EmailAddress } from '@gatehouse/kit/email';

/** An address as it is stored, in an answer. */
export const StoredEmail = z.email({ pattern: z.regexes.html5Email });

/** The network that a client's address stands for in budgets: /24 of IPv4, /64 of IPv6, whatever its spelling. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const plain = mapped ?? address;
  if (isIPv4(plain)) return `${plain.split('.').slice(0, 3).join('.')}.0/24`;
  const [bare = ''] = plain.split('%');
  if (!isIPv6(bare)) return 'unknown';
  const groups = expand(bare);
  // An IPv4 address in its hexadecimal IPv6 spelling is the same client.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return `${high >> 8}.${high & 255}.${low >> 8}.0/24`;
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`;
}

function expand(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const groupsOf = (part: string) =>
    part
      .split(':')
      .filter(Boolean)
      .flatMap((group) => {
        if (!group.includes('.')) return [Number.parseInt(group, 16)];
        const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
        return [a * 256 + b, c * 256 + d];
      });
  const left = groupsOf(head);
  if (tail === undefined) return left;
  const right = groupsOf(tail);
  return [...left, ...Array(8 - left.length - right.length).fill(0), ...right];
}
