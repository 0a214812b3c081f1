import { addressList, canonicalAddress, expandAddress } from '@gatehouse/kit/addresses';

/** What an address is limited by: itself, or for IPv6 its /64, which one customer has to himself. */
export function limiterKey(canonical: string): string {
  if (!canonical.includes(':')) return canonical;
  const prefix = expandAddress(canonical).slice(0, 4);
  return `${prefix.map((group) => group.toString(16)).join(':')}::/64`;
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
