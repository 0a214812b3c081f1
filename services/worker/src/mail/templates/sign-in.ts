import { details, link, needed, onceUntil, type Template, time } from './writing.ts';

// A code in the subject would be handy, and would show on a locked screen to whoever holds the phone: it stays inside.
const CODES = {
  sign_in: { subject: 'Your sign-in code', use: 'to finish signing in' },
  reauthenticate: { subject: 'Your confirmation code', use: 'to confirm that it is you' },
  enrol: { subject: 'Your code to set up e-mail codes', use: 'to set up e-mail codes as your second factor' },
} as const;

export const code: Template<'code'> = ({ params: { name, purpose, minutes } }, { secret, publicUrl }) => ({
  subject: CODES[purpose].subject,
  preview: `It is good for ${minutes} minutes.`,
  name,
  paragraphs: [
    `Enter this code ${CODES[purpose].use} at ${publicUrl}. It is good for ${minutes} minutes, for one use, and only where you asked for it.`,
    'Nobody who works here will ever ask you for it.',
  ],
  code: needed(secret),
  footer:
    'If you did not ask for a code, somebody may know your password: change it. Without the code they do not get in.',
});

export const newDevice: Template<'new-device'> = ({ params, expires_at }, context) => ({
  subject: 'A new device signed in to your account',
  preview: 'If it was you, there is nothing to do.',
  name: params.name,
  paragraphs: ['Somebody signed in to your account with a device that we have not seen before.'],
  details: details(params),
  button: { label: 'This was not me', url: link(context, 'not-me') },
  closing: [
    `The button opens a page that ends every session of your account, forgets your trusted devices and has you set a new password. ${onceUntil(expires_at)}`,
  ],
  footer: 'If it was you, there is nothing to do.',
});

export const signInBlocked: Template<'sign-in-blocked'> = ({ params, expires_at }, context) => ({
  subject: 'Sign-in to your account is blocked for a while',
  preview: 'There were too many wrong passwords.',
  name: params.name,
  paragraphs: [
    `Too many wrong passwords were tried for your account. Until ${time(params.until)} nobody can sign in to it from where we do not know you, not even with the right password. The last try:`,
  ],
  details: details(params),
  button: { label: 'Unblock sign-in', url: link(context, 'unlock') },
  closing: [`If it was you, unblock and try again. ${onceUntil(expires_at)}`],
  footer:
    'If it was not you, leave it blocked: your password was not found out. One that you use here and nowhere else is the best protection.',
});

export const refreshReused: Template<'refresh-reused'> = ({ params }) => ({
  subject: 'We ended one of your sign-ins',
  preview: 'Its credentials were used twice, which can mean that they were copied.',
  name: params.name,
  paragraphs: [
    'A credential of one of your sign-ins was used a second time. That happens when somebody has copied it, so we ended that sign-in on every device that had it.',
  ],
  details: details(params),
  closing: ['Sign in again to go on. If you do not know this device or address, change your password too.'],
  footer: 'You get this mail because it is about the safety of your account.',
});
