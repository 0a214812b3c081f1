import { randomBytes } from 'node:crypto';
import { z } from 'zod';

export const SLUG_MAX = 48;

/** The short name as a client gives it. Letter case is folded, so that one name has one spelling. */
export const Slug = z
  .string()
  .max(SLUG_MAX * 2)
  .transform((value) => value.trim().toLowerCase())
  .pipe(
    z
      .string()
      .min(2)
      .max(SLUG_MAX)
      .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be letters a to z and digits in groups joined by single hyphens'),
  );

/** A short name made from a name; what is not Latin leaves nothing, so such a name gets an invented one. */
export function slugOf(name: string): string {
  const ascii = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const slug = ascii
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, SLUG_MAX - 7)
    .replace(/^-|-$/g, '');
  return slug.length >= 2 ? slug : withSuffix('org');
}

/** The short name with a random end, for when the plain one is taken. */
export function withSuffix(slug: string): string {
  return `${slug}-${randomBytes(3).toString('hex')}`;
}
