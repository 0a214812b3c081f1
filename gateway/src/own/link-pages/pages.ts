/** One input of a page's form; its name is the one in the body of the request. */
interface Field {
  name: string;
  label: string;
  type: 'text' | 'password';
  autocomplete: 'name' | 'new-password';
  hint?: string;
  /** Must be equal to the field of this name; it is not sent. */
  repeats?: string;
}

export interface LinkPage {
  path: string;
  title: string;
  text: string;
  button: string;
  /** Where the button posts the token of the link, and the fields. */
  endpoint: string;
  /** The name under which the token is sent. */
  token?: string;
  fields?: Field[];
  /** Said when it is done; by the `status` of the answer when it has one of these. */
  done: string;
  doneBy?: Record<string, string>;
  /** What a refusal means to who reads it, by its code. Of one that is not named the answer's own words are shown. */
  refused: Record<string, string>;
  /** A question that the first press of the button asks; the answer's members fill the `{}` of the texts. */
  preview?: {
    endpoint: string;
    button: string;
    text: string;
    /** With this member true the form follows; without, that is said and no more. */
    goesOn: string;
    otherwise: string;
  };
}

const GONE = 'This link has been used, was replaced by a newer one, or is too old.';
const NEW_PASSWORD: Field = {
  name: 'new_password',
  label: 'New password',
  type: 'password',
  autocomplete: 'new-password',
  hint: 'A long one that you use nowhere else. Several words in a row are fine.',
};

/** The pages that links in mails open. Opening one changes nothing; its button does. */
export const LINK_PAGES: readonly LinkPage[] = [
  {
    path: '/verify-address',
    title: 'Confirm your address',
    text: 'Press the button, and your account is ready.',
    button: 'Confirm my address',
    endpoint: '/api/auth/email/verify',
    done: 'Your address is confirmed. You can sign in now.',
    refused: { 'auth.token_refused': `${GONE} Register again, or ask for another mail, to get a new one.` },
  },
  {
    path: '/not-me',
    title: 'That sign-in was not you?',
    text:
      'Then somebody else has your password. Press the button: every session of your account is ended, no device is ' +
      'trusted any more, and you get a mail to set a new password.',
    button: 'This was not me',
    endpoint: '/api/auth/sessions/not-me',
    done: 'All sessions of your account are ended. Set a new password now: the link for it is in your mailbox.',
    refused: { 'auth.token_refused': `${GONE} If you are still worried, ask for a new password where you sign in.` },
  },
  {
    path: '/unlock',
    title: 'Unblock sign-in',
    text: 'Press the button only when it was you who tried to sign in. If it was not, leave your account blocked.',
    button: 'Unblock sign-in',
    endpoint: '/api/auth/unlock',
    done: 'Sign-in to your account is open again.',
    refused: { 'auth.token_refused': `${GONE} The block ends by itself, too.` },
  },
  {
    path: '/reset-password',
    title: 'Set a new password',
    text: 'Once it is set, you are signed out everywhere.',
    button: 'Set the password',
    endpoint: '/api/auth/password/reset',
    fields: [
      NEW_PASSWORD,
      {
        name: 'repeated',
        label: 'New password once more',
        type: 'password',
        autocomplete: 'new-password',
        repeats: 'new_password',
      },
    ],
    done: 'Your new password is set. You can sign in with it now.',
    refused: { 'auth.token_refused': `${GONE} Ask for a new one where you sign in.` },
  },
  {
    path: '/accept-invitation',
    title: 'You are invited',
    text: 'See first who invites you to what; nothing is accepted yet.',
    button: 'Create the account and join',
    endpoint: '/api/auth/register/invited',
    token: 'invitation_token',
    preview: {
      endpoint: '/api/invitations/preview',
      button: 'See the invitation',
      goesOn: 'account_needed',
      text: 'You are invited to join {organization} as {role}. The invitation is for {email}. To accept it, create an account:',
      otherwise:
        'You are invited to join {organization} as {role}. The invited address, {email}, has an account already: sign in with it, and accept the invitation there. It waits in the list of your invitations.',
    },
    fields: [
      { name: 'name', label: 'Your name', type: 'text', autocomplete: 'name' },
      { ...NEW_PASSWORD, name: 'password', label: 'Password' },
    ],
    done: 'Your account is ready, and you are a member. You can sign in now.',
    refused: {
      'invitation.not_valid': `${GONE} Ask whoever invited you to send another.`,
      'invitation.void': 'Whoever invited you may not do so any more. Ask somebody else of the organization.',
      'org.member_limit_reached': 'The organization has no place for another member at the moment.',
      'org.domain_refused': 'The organization does not admit addresses like yours.',
      'auth.account_taken': 'The invited address has an account already: sign in with it, and accept there.',
    },
  },
  {
    path: '/confirm-email-change',
    title: 'Confirm the change of your address',
    text: 'The address of your account is changed when both the old and the new one have confirmed it.',
    button: 'Confirm the change',
    endpoint: '/api/auth/email/change/confirm',
    done: 'That is confirmed.',
    doneBy: {
      waiting: 'That is confirmed. The other address has to confirm it as well: open the link in the mail to it.',
      changed: 'Both addresses have confirmed it, and the address of your account is changed.',
    },
    refused: {
      'auth.token_refused': `${GONE} Ask for the change once more in your account.`,
      'auth.account_taken': 'The new address has been taken by another account meanwhile. Nothing was changed.',
    },
  },
  {
    path: '/restore-account',
    title: 'Keep your account',
    text: 'Your account is closed and will be deleted. Press the button to have it back as it was.',
    button: 'Keep my account',
    endpoint: '/api/auth/restore',
    done: 'Your account is yours again. You can sign in now.',
    refused: { 'auth.token_refused': `${GONE} The account may have been deleted by now.` },
  },
];
