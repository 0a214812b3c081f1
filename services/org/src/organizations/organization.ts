import { OrgFact } from '@gatehouse/contracts/facts';
import { Plan } from '@gatehouse/contracts/identity';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { z } from 'zod';
import { StoredTime } from '../time.ts';

export const Status = OrgFact.shape.status;
export type Status = z.infer<typeof Status>;

export const Organization = z.object({
  id: z.uuid(),
  name: z.string(),
  slug: z.string(),
  status: Status,
  plan: Plan,
  created_at: z.iso.datetime(),
});
export type Organization = z.infer<typeof Organization>;

/** An organization as one of its members sees it in the list of their own. */
export const OwnOrganization = Organization.extend({ role: OrgRole });

/** An organization as the database gives it. */
export const OrganizationRow = Organization.extend({ created_at: StoredTime });
export const OwnOrganizationRow = OwnOrganization.extend({ created_at: StoredTime });
