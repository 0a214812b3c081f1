import type { Reporter, StepRecord } from './context.ts';
import type { ExitCode } from './failure.ts';

export interface ReportOptions {
  json: boolean;
  /** A terminal that a person looks at: with a spinner, and with colours unless NO_COLOR says otherwise. */
  terminal: boolean;
  colour?: boolean;
  /** Standard output, unless a test says otherwise. */
  write?: (text: string) => void;
  /** Milliseconds that only grow. */
  now?: () => number;
}

export interface Ending {
  command: string;
  exit: ExitCode | 130;
  message?: string;
  lines?: readonly string[];
}

export interface CommandReporter extends Reporter {
  /** The last that is written: what came of the command, on one screen. */
  finish(ending: Ending): void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const COLOURS = { red: 31, green: 32, yellow: 33, grey: 90 } as const;
const CLEAR = '\r\u001b[2K';
// One screen: what was seen last is what helps, and the rest is in the logs.
const SCREEN_LINES = 40;

interface RunningStep {
  name: string;
  title: string;
  startedAt: number;
  detail: string;
  /** Whether something was written below its title, so that the title had to be written too. */
  opened: boolean;
}

export function createReporter(options: ReportOptions): CommandReporter {
  const { json, terminal, colour = terminal, now = () => performance.now() } = options;
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  const animated = terminal && !json;
  const running: RunningStep[] = [];
  const steps: StepRecord[] = [];
  const startedAt = now();
  let frame = 0;
  let spinner: NodeJS.Timeout | undefined;

  const paint = (name: keyof typeof COLOURS, text: string) =>
    colour ? `\u001b[${COLOURS[name]}m${text}\u001b[0m` : text;
  const indent = (depth: number) => '  '.repeat(depth);
  const event = (data: object) => write(`${JSON.stringify(data)}\n`);

  function line(text: string): void {
    write(`${animated ? CLEAR : ''}${text}\n`);
    draw();
  }

  function draw(): void {
    const step = running.at(-1);
    if (!animated || !step) return;
    const spent = Math.floor((now() - step.startedAt) / 1000);
    const text = `${indent(running.length - 1)}${FRAMES[frame % FRAMES.length]} ${step.title} … ${spent} s`;
    // A line that the terminal wraps could not be cleared.
    write(`${CLEAR}${text.slice(0, (process.stdout.columns || 80) - 1)}`);
  }

  function spin(): void {
    if (!animated || spinner) return;
    spinner = setInterval(() => {
      frame += 1;
      draw();
    }, FRAME_MS).unref();
  }

  function rest(): void {
    if (running.length > 0 || !spinner) return;
    clearInterval(spinner);
    spinner = undefined;
  }

  /** Before something is written inside of steps: their titles, so that it is clear what it belongs to. */
  function open(upTo: number): void {
    for (const [depth, step] of running.slice(0, upTo).entries()) {
      if (step.opened) continue;
      step.opened = true;
      line(`${indent(depth)}${paint('grey', '·')} ${step.title}`);
    }
  }

  function start(name: string, title: string): RunningStep {
    const step = { name, title, startedAt: now(), detail: '', opened: false };
    if (json) event({ event: 'step', name, status: 'start', title });
    else open(running.length);
    running.push(step);
    // A log shows what is being waited for; a terminal has its spinner.
    if (!json && !animated) open(running.length);
    spin();
    draw();
    return step;
  }

  function end(step: RunningStep, result: StepRecord['result']): void {
    const ms = Math.round(now() - step.startedAt);
    const depth = running.indexOf(step);
    running.splice(depth, 1);
    steps.push({ name: step.name, ms, result });
    const { name, title, detail } = step;
    if (json) event({ event: 'step', name, status: result, ms, ...(detail && { detail }) });
    else {
      const mark = result === 'ok' ? paint('green', '✓') : paint('red', '✗');
      line(`${indent(depth)}${mark} ${title} … ${seconds(ms)}${detail && `  ${paint('grey', detail)}`}`);
    }
    rest();
  }

  return {
    steps,
    async step(name, title, work) {
      const step = start(name, title);
      try {
        const result = await work((text) => {
          step.detail = text;
        });
        end(step, 'ok');
        return result;
      } catch (error) {
        end(step, 'failed');
        throw error;
      }
    },
    note(text) {
      if (json) return event({ event: 'note', step: running.at(-1)?.name, text });
      open(running.length);
      for (const part of text.split('\n')) line(`${indent(running.length)}${paint('grey', part)}`);
    },
    warn(text) {
      if (json) return event({ event: 'warning', step: running.at(-1)?.name, text });
      open(running.length);
      for (const part of text.split('\n')) line(`${indent(running.length)}${paint('yellow', '!')} ${part}`);
    },
    show(name, data, lines) {
      if (json) return event({ event: name, ...data });
      for (const text of lines) line(text);
    },
    finish({ command, exit, message, lines = [] }) {
      const ms = Math.round(now() - startedAt);
      running.length = 0;
      rest();
      if (json) return event({ event: 'finish', command, exit, ms, ...(message !== undefined && { message, lines }) });
      if (animated) write(CLEAR);
      if (message !== undefined) write(`${mark(exit)} ${message}\n${onOneScreen(lines)}`);
      else if (steps.length > 0) write(`${paint('green', '✓')} make ${command} is done … ${seconds(ms)}\n`);
    },
  };

  function mark(exit: number): string {
    return exit === 0 ? paint('green', '✓') : paint('red', '✗');
  }
}

function onOneScreen(lines: readonly string[]): string {
  const all = lines.flatMap((text) => text.split('\n'));
  const left = all.length - SCREEN_LINES;
  const shown =
    left > 0 ? [...all.slice(0, SCREEN_LINES / 2), `… ${left} lines more …`, ...all.slice(-SCREEN_LINES / 2)] : all;
  return shown.map((text) => `  ${text}\n`).join('');
}

/** `12.3 s`, and `4 min 12 s` when it was long. */
export function seconds(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
