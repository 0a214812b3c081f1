import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import { listDevices, revokeDevice } from './devices.ts';

const Device = z.object({
  id: z.uuid(),
  /** Such as "Firefox on Linux". */
  name: z.string(),
  /** Where it was last signed in from. */
  address: z.string(),
  first_used_at: StoredTime,
  last_used_at: StoredTime,
  /** Until then it stands for the second factor; null when it does not. */
  trusted_until: StoredTime.nullable(),
  /** The device that asks. */
  current: z.boolean(),
});

export function deviceRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/devices',
      summary: 'List the devices that you have signed in from',
      description:
        'A device is a browser or an app, recognised by a cookie of its own. The newest first; those that were not ' +
        'used for 400 days are forgotten.',
      permission: 'user',
      answers: { 200: z.object({ data: z.array(Device) }) },
      handle: ({ actor }) => listDevices(deps, actor),
    }),
    endpoint({
      delete: '/api/auth/devices/:device_id',
      summary: 'Sign a device out and forget it',
      description:
        'Ends every session that was opened on it and its trust as a second factor. The next sign-in from it is one ' +
        'from a new device.',
      permission: 'user',
      guests: true,
      params: z.strictObject({ device_id: z.uuid() }),
      answers: { 204: z.void() },
      errors: ['auth.device_not_found'],
      handle: ({ actor, params }) => revokeDevice(deps, actor, params.device_id),
    }),
  ];
}
