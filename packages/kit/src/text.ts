import { z } from 'zod';

const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/** One line of text for people: trimmed, NFC, 1 to `max` characters, no control characters, no lone surrogate. */
export function line(max: number) {
  return z
    .string()
    .max(max * 4)
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode')
    .transform((value) => value.normalize('NFC').trim())
    .pipe(
      z
        .string()
        .min(1, 'must not be empty')
        .max(max)
        .refine((value) => !CONTROL.test(value), 'must not contain control characters'),
    );
}

/** What a client says of itself (user agent), cut and freed of control characters, for storing and showing. */
export function plain(value: string | undefined, max = 256): string {
  return (value ?? '')
    .slice(0, max)
    .replace(/[\p{Cc}\u2028\u2029]/gu, ' ')
    .toWellFormed()
    .trim();
}
