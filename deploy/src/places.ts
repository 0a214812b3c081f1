import { join } from 'node:path';

export type Environment = 'development' | 'staging' | 'production';
export const ENVIRONMENTS: readonly Environment[] = ['development', 'staging', 'production'];
export type Colour = 'blue' | 'green';

/** Where an environment keeps what is neither in the repository nor in a volume. */
export interface Places {
  /** STATE_DIR, or /var/lib/gatehouse/<environment>. */
  state: string;
  /** What this host says differently from `.env.<environment>`: the same keys, and it need not be there. */
  overrides: string;
  /** `secrets/<holder>/<NAME>`: a folder for each kind of user that containers run as. */
  secrets: string;
  /** The certificate that clients see: `fullchain.pem` and `privkey.pem`. */
  tls: string;
  /** What nginx reads: its configuration, `upstream.conf`, and flags (empty files) below `flags/`. */
  nginx: string;
  /** Configuration of Prometheus, Alertmanager and Grafana. */
  monitoring: string;
  /** A folder for each release: its source as committed, its settings, its record. */
  releases: string;
  /** Files for the textfile collector of the node exporter. */
  metrics: string;
  /** The second place of backups, unless the settings name another. */
  backups: string;
  /** Which release is live. */
  live: string;
  /** What the deploy that runs, or ran when it was killed, has done. */
  journal: string;
  /** One JSON line for every deploy and rollback that ended. */
  history: string;
  lock: string;
}

export function placesOf(state: string): Places {
  const below = (name: string) => join(state, name);
  return {
    state,
    overrides: below('settings.env'),
    secrets: below('secrets'),
    tls: below('tls'),
    nginx: below('nginx'),
    monitoring: below('monitoring'),
    releases: below('releases'),
    metrics: below('metrics'),
    backups: below('backups'),
    live: below('live.json'),
    journal: below('journal.json'),
    history: below('history.ndjson'),
    lock: below('lock'),
  };
}

/** The processes of a release, as services of Compose without their colour. */
export const COLOURED = ['auth', 'org', 'audit', 'worker', 'gateway-1', 'gateway-2'] as const;

/** The services of a colour: `auth-blue` … `gateway-2-blue`. */
export function servicesOf(colour: Colour): string[] {
  return COLOURED.map((name) => `${name}-${colour}`);
}

/** Where nginx finds the gateways of a colour, by the prefix of the edge network: addresses that survive a restart. */
export function gatewaysOf(colour: Colour, edgePrefix: string, port: string): string[] {
  const first = colour === 'blue' ? 11 : 21;
  return [`${edgePrefix}.${first}:${port}`, `${edgePrefix}.${first + 1}:${port}`];
}
