/** One thing that is wrong, or that will be. */
export interface Finding {
  /** `error` stops a deploy, `secret` too but with its own code, `warning` is told. */
  level: 'error' | 'secret' | 'warning';
  topic: string;
  /** What is wrong, and what to do about it. */
  what: string;
  remedy: string;
  /** Whether somebody with a reason may go on in spite of it (FORCE). */
  forcible?: boolean;
}

export function error(topic: string, what: string, remedy: string): Finding {
  return { level: 'error', topic, what, remedy };
}

export function warning(topic: string, what: string, remedy: string): Finding {
  return { level: 'warning', topic, what, remedy };
}

export function lineOf({ topic, what, remedy }: Finding): string {
  return `${topic}: ${what}. ${remedy}.`;
}
