import { readFileSync } from 'node:fs';

/** Passwords people choose most, reduced to their words; the rules below add case, digits, symbols and leet to each. */
const COMMON = new Set(
  readFileSync(new URL('./common-words.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean),
);
const LONGEST_WORD = 32;
export const MAX_CODE_POINTS = 128;
// Longer than this a password is not judged by its pattern: a machine made it, or nobody would type it.
const LONGEST_PATTERN = 40;
const FILLER_LIMIT = 8;

const LEET: Record<string, string> = { 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i' };
const ROWS = ['01234567890', 'abcdefghijklmnopqrstuvwxyz', 'qwertyuiopasdfghjklzxcvbnm', 'qwertzuiop', 'azertyuiop'];

export interface PasswordContext {
  minLength: number;
  /** What an attacker tries first for this account: its address, name and organization, the product. */
  words: readonly string[];
}

/** What is wrong with a new password, undefined when nothing is. No composition rules, as NIST SP 800-63B-4 asks. */
export function passwordWeakness(password: string, { minLength, words }: PasswordContext): string | undefined {
  if (!isSound(password)) return 'contains characters that cannot be typed';
  const normalized = password.normalize('NFKC');
  const length = [...normalized].length;
  if (length < minLength) return `must have at least ${minLength} characters`;
  // The limit holds before and after normalisation, which may lengthen a text many times.
  if (length > MAX_CODE_POINTS || [...password].length > MAX_CODE_POINTS)
    return `must have at most ${MAX_CODE_POINTS} characters`;
  const lower = normalized.toLowerCase();
  const context = contextWords(words);
  if (length > LONGEST_PATTERN && !context.has(lower)) return undefined;
  if (isPattern(lower)) return 'is a repetition or a sequence';
  if (context.has(lower) || isGuessable(lower, context)) return 'is among the first that anybody would guess';
  return undefined;
}

/** Whether a password could ever have been set: one with NUL or half a surrogate pair cannot. */
export function isSound(password: string): boolean {
  return password.isWellFormed() && !password.includes('\0');
}

function contextWords(words: readonly string[]): Set<string> {
  const parts = words.flatMap((word) => {
    const lower = word.normalize('NFKC').toLowerCase();
    const pieces = lower.split(/[^\p{L}\p{N}]+/u);
    return [lower, pieces.join(''), ...pieces];
  });
  return new Set(parts.filter((part) => part.length >= 4));
}

function isPattern(text: string): boolean {
  for (let period = 1; period <= text.length / 3; period++)
    if (text.slice(period) === text.slice(0, -period)) return true;
  return isRun(text);
}

/** Whether a text of digits or letters only goes up or down one row: `12345678`, `qwertyuiop`, `654321`. */
function isRun(text: string): boolean {
  const backwards = [...text].reverse().join('');
  return (
    new Set(text).size === 1 || ROWS.some((row) => `${row}${row}`.includes(text) || `${row}${row}`.includes(backwards))
  );
}

/**
 * Whether a text is one known word with a few other characters around or in it, or two with hardly any.
 * `cheapest[end][words]` is the least filler with which the text up to `end` is covered by so many words.
 */
function isGuessable(text: string, context: Set<string>): boolean {
  const chars = [...text];
  const cheapest = chars.map(() => [Infinity, Infinity, Infinity]);
  cheapest.unshift([0, Infinity, Infinity]);
  const reach = (end: number, words: number, filler: number) => {
    const row = cheapest[end];
    if (row && words <= 2 && filler < (row[words] ?? Infinity)) row[words] = filler;
  };
  for (let start = 0; start < chars.length; start++) {
    const steps = stepsFrom(chars, start, context);
    for (const [words, filler] of (cheapest[start] ?? []).entries()) {
      if (filler > FILLER_LIMIT) continue;
      for (const step of steps) reach(step.end, words + step.words, filler + step.filler);
    }
  }
  const [, one = Infinity, two = Infinity] = cheapest[chars.length] ?? [];
  return one <= Math.min(FILLER_LIMIT, chars.length / 2) || two <= 2;
}

interface Step {
  end: number;
  words: 0 | 1;
  filler: number;
}

function stepsFrom(chars: string[], start: number, context: Set<string>): Step[] {
  const first = chars[start] ?? '';
  // A letter that belongs to no word is worth three digits or symbols.
  const steps: Step[] = [{ end: start + 1, words: 0, filler: /\p{L}/u.test(first) ? 3 : 1 }];
  for (let end = start + 3; end <= Math.min(chars.length, start + LONGEST_WORD); end++) {
    const piece = chars.slice(start, end);
    const plain = piece.join('');
    const leet = unleet(piece, 'i');
    if (COMMON.has(plain) || context.has(plain)) steps.push({ end, words: 1, filler: 0 });
    else if ([leet, unleet(piece, 'l')].some((word) => COMMON.has(word) || context.has(word)))
      steps.push({ end, words: 1, filler: 1 });
    if (/^\d+$/.test(plain) && isRun(plain)) steps.push({ end, words: 0, filler: 1 });
  }
  return steps;
}

function unleet(chars: string[], one: 'i' | 'l'): string {
  return chars.map((char) => (char === '1' ? one : (LEET[char] ?? char))).join('');
}
