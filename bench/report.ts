import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import type { Figure } from './rounds.ts';

/** One line of the report. */
export interface Line {
  measure: string;
  figure: string;
  /** `none` where the line only explains another. */
  limit: string;
  passed: boolean;
}

/** A ratio that must reach its limit in the median round. */
export function atLeast(measure: string, ratio: Figure, limit: number, detail = ''): Line {
  return { measure, figure: spread(ratio) + detail, limit: `>= ${limit.toFixed(2)}`, passed: ratio.median >= limit };
}

/** A figure that must stay within its limit in the median round. */
export function atMost(measure: string, value: Figure, limit: number, unit = '', detail = ''): Line {
  const text = spread(value, unit) + detail;
  return { measure, figure: text, limit: `<= ${limit}${unit}`, passed: value.median <= limit };
}

/** A figure that is shown and not judged. */
export function shown(measure: string, value: Figure, unit = '', detail = ''): Line {
  return { measure, figure: spread(value, unit) + detail, limit: 'none', passed: true };
}

/** A measure that could not be taken. */
export function failed(measure: string, error: unknown): Line {
  return { measure, figure: String(error), limit: 'to be measured', passed: false };
}

function spread({ median, low, high }: Figure, unit = ''): string {
  const write = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));
  return `${write(median)}${unit} (${write(low)} to ${write(high)})`;
}

export function machine(): string {
  const version = (program: string, ...args: string[]) => {
    // nginx tells its version on stderr.
    const output = execFileSync('/bin/sh', ['-c', `"$0" "$@" 2>&1`, program, ...args], { encoding: 'utf8' });
    return /\d+(\.\d+)+/.exec(output)?.[0] ?? '?';
  };
  const [cpu] = cpus();
  const memoryGib = Math.round(totalmem() / 1024 ** 3);
  return (
    `${cpu?.model.trim()}, ${cpus().length} cores, ${memoryGib} GiB; Node ${process.versions.node}, ` +
    `nginx ${version('nginx', '-v')}, Redis ${version('redis-server', '--version')}`
  );
}

export function table(lines: readonly Line[]): string {
  const width = (column: 'measure' | 'figure' | 'limit') => Math.max(...lines.map((line) => line[column].length));
  const [measure, figure, limit] = [width('measure'), width('figure'), width('limit')];
  return lines
    .map((line) => {
      const verdict = line.limit === 'none' ? '' : line.passed ? 'pass' : 'FAIL';
      const cells = [line.measure.padEnd(measure), line.figure.padEnd(figure), line.limit.padEnd(limit), verdict];
      return cells.join('  ').trimEnd();
    })
    .join('\n');
}
