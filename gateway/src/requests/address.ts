import { BlockList, isIP, isIPv4 } from 'node:net';

/** The address in one spelling: IPv4-mapped IPv6 folded, IPv6 compressed and lower-case. Undefined when it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  if (isIP(address) !== 6 || address.includes('%')) return undefined;
  const groups = expand(address);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return [groups[6], groups[7]].map((group) => `${(group ?? 0) >> 8}.${(group ?? 0) & 255}`).join('.');
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** What an address is limited by: itself, or for IPv6 its /64, which one customer has to himself. */
export function limiterKey(canonical: string): string {
  if (!canonical.includes(':')) return canonical;
  const prefix = expand(canonical).slice(0, 4);
  return `${prefix.map((group) => group.toString(16)).join(':')}::/64`;
}

function expand(address: string): number[] {
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

/** Whether an address is in a list of addresses and networks (CIDR); unreadable entries match nothing. */
export function addressList(entries: readonly string[]): (canonical: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const canonical = canonicalAddress(address);
    if (!canonical) continue;
    const family = isIPv4(canonical) ? 'ipv4' : 'ipv6';
    const width = family === 'ipv4' ? 32 : 128;
    const prefix = bits === undefined ? width : Number(bits);
    if (Number.isInteger(prefix) && prefix >= 0 && prefix <= width) list.addSubnet(canonical, prefix, family);
  }
  return (canonical) => list.check(canonical, isIPv4(canonical) ? 'ipv4' : 'ipv6');
}

export interface Client {
  address: string;
  limiterKey: string;
}

const REMEMBERED_MAX = 20_000;

/**
 * Who is calling, by address: what the proxy wrote into X-Forwarded-For when the socket's peer is a trusted proxy,
 * else the peer itself. A list of several addresses was not written by our nginx, so the peer counts then.
 */
export function createClientAddresses(trustedProxies: readonly string[]) {
  const trusted = addressList(trustedProxies);
  const clients = new Map<string, Client | null>();
  const peers = new Map<string, boolean>();

  function clientOf(address: string): Client | null {
    const known = clients.get(address);
    if (known !== undefined) return known;
    const canonical = canonicalAddress(address);
    const client = canonical === undefined ? null : { address: canonical, limiterKey: limiterKey(canonical) };
    if (clients.size >= REMEMBERED_MAX) clients.clear();
    clients.set(address, client);
    return client;
  }

  function isTrusted(peer: string): boolean {
    let known = peers.get(peer);
    if (known === undefined) {
      const canonical = canonicalAddress(peer);
      known = canonical !== undefined && trusted(canonical);
      if (peers.size >= REMEMBERED_MAX) peers.clear();
      peers.set(peer, known);
    }
    return known;
  }

  return {
    isTrusted,
    /** `forwardedFor` is the header's value when it was given exactly once. */
    resolve(peer: string, forwardedFor: string | undefined): Client {
      const forwarded = forwardedFor !== undefined && isTrusted(peer) ? clientOf(forwardedFor) : null;
      return forwarded ?? clientOf(peer) ?? { address: 'unknown', limiterKey: 'unknown' };
    },
  };
}

export type ClientAddresses = ReturnType<typeof createClientAddresses>;
