import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

// What Postgres itself takes (scram_iterations); the passwords of roles are random, so that more would protect nothing.
const ITERATIONS = 4096;

/**
 * What Postgres keeps of a password (RFC 5803). Given to `alter role` in place of the password, neither its log nor
 * pg_stat_activity nor pg_stat_statements, which the role of the monitoring reads, ever shows the password.
 */
export function scramVerifier(password: string, salt = randomBytes(16), iterations = ITERATIONS): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const keyOf = (what: string) => createHmac('sha256', salted).update(what).digest();
  const stored = createHash('sha256').update(keyOf('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${keyOf('Server Key').toString('base64')}`;
}
