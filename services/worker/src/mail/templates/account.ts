import { details, link, onceUntil, type Template, time } from './writing.ts';

const SAFETY = 'You get this mail because it is about the safety of your account.';

export const verifyAddress: Template<'verify-address'> = ({ params, expires_at }, context) => ({
  subject: 'Confirm your e-mail address',
  preview: 'One step is left until your account is ready.',
  name: params.name,
  paragraphs: [
    `An account was created with this address at ${context.publicUrl}. Confirm that the address is yours, and the account is ready.`,
  ],
  button: { label: 'Confirm the address', url: link(context, 'verify-address') },
  closing: [onceUntil(expires_at)],
  footer: 'If you did not create an account, ignore this mail: without your confirmation nothing happens.',
});

export const addressTaken: Template<'address-taken'> = ({ params }, { publicUrl }) => ({
  subject: 'You already have an account',
  preview: 'Somebody tried to register with your address.',
  name: params.name,
  paragraphs: [
    `Somebody tried to create an account with this address at ${publicUrl}. You already have one, so nothing was changed. Sign in with your password, or ask for a new one if you have forgotten it.`,
  ],
  footer: 'If it was not you, there is nothing to do: whoever it was did not learn that you have an account.',
});

export const passwordReset: Template<'password-reset'> = ({ params, expires_at }, context) => ({
  subject: 'Set a new password',
  preview: 'You asked for a new password.',
  name: params.name,
  paragraphs: [
    `Somebody, hopefully you, asked for a new password for your account at ${context.publicUrl}. Once it is set, you are signed out everywhere.`,
  ],
  button: { label: 'Set a new password', url: link(context, 'reset-password') },
  closing: [onceUntil(expires_at)],
  footer: 'If you did not ask for it, ignore this mail: your password stays as it is.',
});

export const passwordChanged: Template<'password-changed'> = ({ params }) => ({
  subject: 'Your password was changed',
  preview: 'If it was you, there is nothing to do.',
  name: params.name,
  paragraphs: ['The password of your account was changed.'],
  details: details(params),
  closing: [
    'If it was not you, somebody else has your account: ask for a new password where you sign in, at once, and tell whoever runs this platform for you.',
  ],
  footer: SAFETY,
});

export const emailChange: Template<'email-change'> = ({ params, expires_at }, context) => ({
  subject: 'Confirm the change of your e-mail address',
  preview: 'Both the old and the new address must confirm it.',
  name: params.name,
  paragraphs: [
    params.side === 'old'
      ? `Somebody, hopefully you, wants to change the address of your account from this one to ${params.new_email}.`
      : `Somebody, hopefully you, wants to use this address, ${params.new_email}, for their account at ${context.publicUrl}.`,
    'It is changed when both addresses have confirmed it. A mail like this one went to the other.',
  ],
  button: { label: 'Confirm the change', url: link(context, 'confirm-email-change') },
  closing: [onceUntil(expires_at)],
  footer:
    params.side === 'old'
      ? 'If it was not you, do not confirm, and change your password: somebody was signed in to your account.'
      : 'If it was not you, ignore this mail: without your confirmation nothing happens.',
});

export const emailChanged: Template<'email-changed'> = ({ params }) => ({
  subject: 'The e-mail address of your account was changed',
  preview: 'Mails about your account go to the new address from now on.',
  name: params.name,
  paragraphs: [
    `The address of your account is ${params.new_email} now. Mails about it go there, and this one is the last that you get here.`,
  ],
  details: details(params),
  closing: ['If it was not you, tell whoever runs this platform for you, at once.'],
  footer: SAFETY,
});

const CHANGES = {
  totp_added: 'An authenticator app was added to your account as a second factor',
  totp_removed: 'The authenticator app was removed from your account',
  email_added: 'Codes by e-mail were added to your account as a second factor',
  email_removed: 'Codes by e-mail are no second factor of your account any more',
  reset_by_admin:
    'An administrator removed every second factor of your account, recovery codes and trusted devices included; your sessions ended',
  recovery_codes_replaced: 'The recovery codes of your account were replaced; the old ones are good for nothing',
} as const;

export const factorChanged: Template<'factor-changed'> = ({ params }) => {
  const { name, change, at } = params;
  const told = { subject: 'The second factor of your account was changed', name, footer: SAFETY };
  const paragraphs = [`${CHANGES[change]}.`];
  // Where the administrator was is nothing to the user.
  if (change === 'reset_by_admin')
    return {
      ...told,
      preview: 'An administrator did this, as somebody asked for in your name.',
      paragraphs,
      details: [['When', time(at)]],
      closing: [
        'Sign in and set up a second factor again. If you did not ask for this, tell whoever runs this platform for you, at once.',
      ],
    };
  return {
    ...told,
    preview: 'If it was you, there is nothing to do.',
    paragraphs,
    details: details(params),
    closing: ['If it was not you, somebody else has been in your account: ask for a new password at once.'],
  };
};

export const accountClosing: Template<'account-closing'> = ({ params }, context) => ({
  subject: 'Your account will be deleted',
  preview: 'Until then you can keep it.',
  name: params.name,
  paragraphs: [
    `Your account at ${context.publicUrl} is closed, and it will be deleted after ${time(params.until)}. Until then you can have it back as it was; afterwards nobody can.`,
  ],
  button: { label: 'Keep my account', url: link(context, 'restore-account') },
  footer: 'If you want it deleted, there is nothing more to do.',
});
