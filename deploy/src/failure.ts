/** What a failed command tells its caller; a stage has one code, whatever went wrong in it. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  preflight: 10,
  secrets: 11,
  locked: 12,
  backup: 20,
  build: 30,
  migrate: 40,
  unhealthy: 50,
  switch: 60,
  rolledBack: 70,
  rollbackFailed: 90,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Something that the deployer can act on: one sentence that says what is wrong, and lines that say what to do. */
export class Failure extends Error {
  readonly code: ExitCode;
  /** What to do about it, and what was seen: shown below the message, a line each. */
  readonly lines: readonly string[];

  constructor(code: ExitCode, message: string, lines: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.name = 'Failure';
    this.code = code;
    this.lines = lines;
  }
}
