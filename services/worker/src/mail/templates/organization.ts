import { link, type Template, time } from './writing.ts';

export const invitation: Template<'invitation'> = ({ params }, context) => ({
  // Without the names of the organization and the inviter: strangers choose them, and the subject is what convinces.
  subject: 'You are invited to join an organization',
  preview: 'The invitation says who invites you.',
  paragraphs: [
    `${params.inviter} invites you to join the organization ${params.organization} at ${context.publicUrl} as ${params.role}.`,
    ...(params.note ? [`${params.inviter} writes:`] : []),
  ],
  quote: params.note,
  button: { label: 'See the invitation', url: link(context, 'accept-invitation') },
  closing: [`It is for this address only, and good until ${time(params.until)}.`],
  footer: 'If you do not know who invites you, ignore this mail: without you nothing happens.',
});

export const apiKeyLeaked: Template<'api-key-leaked'> = ({ params }) => ({
  subject: 'An API key was found in public and is revoked',
  preview: 'Programs that used it need a new one.',
  name: params.name,
  paragraphs: [
    `An API key of ${params.organization} was reported to us as found in public. We revoked it: nobody can use it any more, your own programs included.`,
  ],
  details: [
    ['Key', params.key_name],
    ['Begins with', params.prefix],
    ...(params.url ? [['Found at', params.url] as [string, string]] : []),
  ],
  closing: [
    'Make a new key for the programs that used it, take the old one out of where it was found, and look in the audit log for what was done with it.',
  ],
  footer: 'You get this mail because you own the organization.',
});
