import { BlockList, isIP, isIPv4 } from 'node:net';

/** The address in one spelling: IPv4-mapped IPv6 folded, IPv6 compressed and lower-case. Undefined when it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  if (isIP(address) !== 6 || address.includes('%')) return undefined;
  const groups = expandAddress(address);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return [groups[6], groups[7]].map((group) => `${(group ?? 0) >> 8}.${(group ?? 0) & 255}`).join('.');
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** The eight groups of an IPv6 address. */
export function expandAddress(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  return [...left, ...new Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

interface Network {
  address: string;
  prefix: number;
  family: 'ipv4' | 'ipv6';
}

const MAPPED_BITS = 96;

/**
 * An address or a network (CIDR), folded as addresses are: what is written of IPv4 in IPv6 is the IPv4 network.
 * Undefined when it is none, or one that no folded address could ever lie in.
 */
export function readNetwork(entry: string): Network | undefined {
  const [address = '', bits, ...rest] = entry.split('/');
  const written = isIP(address);
  const canonical = canonicalAddress(address);
  if (canonical === undefined || rest.length > 0) return undefined;
  if (bits !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  const folded = written === 6 && isIPv4(canonical);
  const prefix = Number(bits ?? (written === 4 ? 32 : 128)) - (folded ? MAPPED_BITS : 0);
  const family = isIPv4(canonical) ? 'ipv4' : 'ipv6';
  return prefix >= 0 && prefix <= (family === 'ipv4' ? 32 : 128) ? { address: canonical, prefix, family } : undefined;
}

/** Whether an address is in a list of addresses and networks (CIDR); unreadable entries match nothing. */
export function addressList(entries: readonly string[]): (canonical: string) => boolean {
  // One a family: in a common one a wide IPv6 network (::/0) holds every IPv4 address too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const entry of entries) {
    const network = readNetwork(entry);
    if (network) lists[network.family].addSubnet(network.address, network.prefix, network.family);
  }
  return (canonical) => {
    const family = isIPv4(canonical) ? 'ipv4' : 'ipv6';
    return lists[family].check(canonical, family);
  };
}

/** The network that an address is shown as where the address itself is too much: IPv4 /24, IPv6 /64. */
export function networkOf(address: string): string | undefined {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return undefined;
  if (isIPv4(canonical)) return canonical.replace(/\d+$/, '0/24');
  const prefix = expandAddress(canonical).slice(0, 4);
  return `${canonicalAddress(`${prefix.map((group) => group.toString(16)).join(':')}::`)}/64`;
}
