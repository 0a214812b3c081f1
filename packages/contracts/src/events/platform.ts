import { z } from 'zod';

const release = z.strictObject({ revision: z.string(), colour: z.enum(['blue', 'green']) });
/** Who ran the command: the host's user, who is none of the platform's, and the host. */
const deployer = { environment: z.string(), by: z.string(), host: z.string() };
const change = { deploy_id: z.string(), ...deployer, from: release.nullable(), to: release };

/** What deployers do to the whole platform. */
export const PLATFORM_EVENTS = {
  'platform.deployed.v1': {
    kind: 'admin_action',
    data: z.strictObject({ ...change, backup: z.string().nullable() }),
  },
  'platform.rolled_back.v1': {
    kind: 'admin_action',
    data: z.strictObject({ ...change, reason: z.string() }),
  },
  /** Told by the restored database: what was recorded after the moment it went back to is gone from it. */
  'platform.restored.v1': {
    kind: 'admin_action',
    data: z.strictObject({ ...deployer, backup: z.string(), at: z.iso.datetime({ offset: true }).nullable() }),
  },
} as const;
