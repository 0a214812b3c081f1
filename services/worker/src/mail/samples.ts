import type { Mail, MailTemplate } from '@gatehouse/contracts/jobs';

const to = 'ada@example.test';
const occasion = { address: '203.0.113.7', at: '2026-11-21T12:34:56.000Z' };
const later = '2026-11-28T12:34:56.000Z';

/** One mail of every template, for tests and for a look at them; `words` stands wherever people choose what is said. */
export const SAMPLES: { [T in MailTemplate]: (words: string) => Extract<Mail, { template: T }> } = {
  'verify-address': (name) => ({ template: 'verify-address', to, params: { name }, expires_at: later }),
  'address-taken': (name) => ({ template: 'address-taken', to, params: { name } }),
  code: (name) => ({ template: 'code', to, params: { name, purpose: 'sign_in', minutes: 10 } }),
  'new-device': (name) => ({ template: 'new-device', to, params: { name, device: name, ...occasion } }),
  'password-changed': (name) => ({ template: 'password-changed', to, params: { name, device: name, ...occasion } }),
  'password-reset': (name) => ({ template: 'password-reset', to, params: { name }, expires_at: later }),
  invitation: (words) => ({
    template: 'invitation',
    to,
    params: { organization: words, inviter: words, role: 'analyst', note: words, until: later },
  }),
  'sign-in-blocked': (name) => ({
    template: 'sign-in-blocked',
    to,
    params: { name, until: later, device: name, ...occasion },
  }),
  'refresh-reused': (name) => ({ template: 'refresh-reused', to, params: { name, device: name, ...occasion } }),
  'email-change': (name) => ({ template: 'email-change', to, params: { name, side: 'old', new_email: name } }),
  'email-changed': (name) => ({
    template: 'email-changed',
    to,
    params: { name, new_email: name, device: name, ...occasion },
  }),
  'factor-changed': (name) => ({
    template: 'factor-changed',
    to,
    params: { name, change: 'totp_removed', device: name, ...occasion },
  }),
  'account-closing': (name) => ({ template: 'account-closing', to, params: { name, until: later } }),
  'api-key-leaked': (words) => ({
    template: 'api-key-leaked',
    to,
    params: { name: words, organization: words, key_name: words, prefix: 'ghk_abc', url: words },
  }),
};
