/**
 * Every error code of the platform with the HTTP status and title that belong to it (RFC 9457, section 3.1).
 * Clients script against the codes: one is added, never renamed. Keep each block sorted by code.
 */
export const ERRORS = {
  'access.denied': { status: 403, title: 'Access denied' },
  conflict: { status: 409, title: 'Conflict' },
  dependency_unavailable: { status: 503, title: 'A dependency is unavailable' },
  internal: { status: 500, title: 'Internal error' },
  maintenance: { status: 503, title: 'Closed for maintenance' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  not_found: { status: 404, title: 'Not found' },
  overloaded: { status: 503, title: 'Overloaded' },
  rate_limited: { status: 429, title: 'Too many requests' },

  'api_key.limit_reached': { status: 409, title: 'No more API keys can be created' },
  'api_key.not_found': { status: 404, title: 'API key not found' },
  'api_key.not_usable': { status: 409, title: 'The API key is no longer in use' },

  'api_key.report_refused': { status: 400, title: 'The report is not signed by a known key' },

  'auth.account_not_found': { status: 404, title: 'Account not found' },
  'auth.account_taken': { status: 409, title: 'The address already has an account' },
  'auth.address_unverified': { status: 409, title: 'The address is not confirmed' },
  'auth.challenge_refused': { status: 401, title: 'The sign-in was not completed in time' },
  'auth.code_refused': { status: 401, title: 'The code is not valid' },
  'auth.device_not_found': { status: 404, title: 'Device not found' },
  'auth.factor_exists': { status: 409, title: 'The second factor is set up already' },
  'auth.factor_not_found': { status: 404, title: 'Second factor not found' },
  'auth.factor_required': { status: 409, title: 'The second factor cannot be given up' },
  'auth.invalid_credentials': { status: 401, title: 'Invalid credentials' },
  'auth.last_admin': { status: 409, title: 'The platform would be left without an administrator' },
  'auth.origin_refused': { status: 403, title: 'The cookie does not count for this origin' },
  'auth.password_reset_required': { status: 403, title: 'The password must be reset' },
  'auth.reauth_required': { status: 403, title: 'Prove once more who you are' },
  'auth.refresh_refused': { status: 401, title: 'The refresh token is not valid' },
  'auth.required': { status: 401, title: 'Authentication required' },
  'auth.second_factor_required': { status: 403, title: 'A second factor is required' },
  'auth.session_ended': { status: 401, title: 'Session ended' },
  'auth.session_expired': { status: 401, title: 'Session expired' },
  'auth.session_not_found': { status: 404, title: 'Session not found' },
  'auth.token_refused': { status: 400, title: 'The token is not valid or was used' },

  'bootstrap.completed': { status: 403, title: 'Bootstrap already completed' },
  'bootstrap.secret_wrong': { status: 403, title: 'The bootstrap secret is missing or wrong' },

  'idempotency.in_progress': { status: 409, title: 'A request with this Idempotency-Key is still running' },
  'idempotency.mismatch': { status: 422, title: 'The Idempotency-Key was used with another request' },

  'invitation.limit_reached': { status: 409, title: 'No more invitations can be open' },
  'invitation.not_found': { status: 404, title: 'Invitation not found' },
  'invitation.not_valid': { status: 400, title: 'The invitation is not valid any more' },
  'invitation.other_address': { status: 403, title: 'The invitation is for another address' },
  'invitation.pending': { status: 409, title: 'The address has an open invitation' },
  'invitation.void': { status: 403, title: 'Whoever invited you may not do so any more' },

  'org.domain_refused': { status: 403, title: 'The organization does not admit this mail domain' },
  'org.last_owner': { status: 409, title: 'The organization would be left without an owner' },
  'org.limit_reached': { status: 409, title: 'No more organizations can be founded' },
  'org.member_exists': { status: 409, title: 'Already a member' },
  'org.member_limit_reached': { status: 409, title: 'The plan has no place for another member' },
  'org.member_not_found': { status: 404, title: 'Member not found' },
  'org.not_found': { status: 404, title: 'Organization not found' },
  'org.owner_required': { status: 403, title: 'Only an owner may do this' },
  'org.role_above_own': { status: 403, title: 'The role is above your own' },
  'org.session_too_old': { status: 403, title: 'The organization asks for a newer sign-in' },
  'org.slug_taken': { status: 409, title: 'The short name is taken' },
  'org.suspended': { status: 403, title: 'The organization is suspended' },

  'registration.invitation_required': { status: 403, title: 'Registration needs an invitation' },

  'request.header_invalid': { status: 400, title: 'Invalid header' },
  'request.header_too_large': { status: 431, title: 'Headers too large' },
  'request.invalid': { status: 400, title: 'Invalid request' },
  'request.malformed': { status: 400, title: 'Malformed request' },
  'request.misdirected': { status: 421, title: 'No such host' },
  'request.timeout': { status: 408, title: 'Request timed out' },
  'request.too_large': { status: 413, title: 'Request too large' },
  'request.unsupported_media_type': { status: 415, title: 'Unsupported media type' },
  'request.uri_too_long': { status: 414, title: 'Address too long' },

  'upstream.circuit_open': { status: 503, title: 'Upstream is failing' },
  'upstream.timeout': { status: 504, title: 'Upstream timed out' },
  'upstream.unavailable': { status: 502, title: 'Upstream unavailable' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERRORS;
