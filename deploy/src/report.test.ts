import { expect, test } from '@jest/globals';
import { EXIT } from './failure.ts';
import { createReporter, type ReportOptions } from './report.ts';

function record(options: Partial<ReportOptions>) {
  let text = '';
  let clock = 0;
  const write = (more: string) => {
    text += more;
  };
  const report = createReporter({ json: false, terminal: false, ...options, write, now: () => clock });
  return {
    report,
    pass(ms: number) {
      clock += ms;
    },
    text: () => text,
    lines: () => text.split('\n').filter(Boolean),
  };
}

type Record_ = ReturnType<typeof record>;

async function deploy({ report, pass }: Record_): Promise<void> {
  await report.step('build', 'Build the images', async (detail) => {
    pass(1200);
    await report.step('build.auth', 'auth', async () => pass(300));
    report.note('five images');
    report.warn('slow disk');
    detail('5 built');
  });
  await report
    .step('migrate', 'Migrate', async () => {
      pass(64_000);
      throw new Error('no');
    })
    .catch(() => undefined);
  report.finish({ command: 'deploy', exit: EXIT.migrate, message: 'The migration failed', lines: ['Fix it.'] });
}

const ESCAPE = '\u001b';

test('without a terminal: lines in their order, nested, timed, and no escape sequence', async () => {
  const out = record({});
  await deploy(out);
  expect(out.lines()).toEqual([
    '· Build the images',
    '  · auth',
    '  ✓ auth … 0.3 s',
    '  five images',
    '  ! slow disk',
    '✓ Build the images … 1.5 s  5 built',
    '· Migrate',
    '✗ Migrate … 1 min 4 s',
    '✗ The migration failed',
    '  Fix it.',
  ]);
  expect(out.text()).not.toContain(ESCAPE);
  expect(out.text()).not.toContain('\r');
});

test('for machines: one JSON object a line, and nothing else', async () => {
  const out = record({ json: true, terminal: true });
  await deploy(out);
  expect(out.lines().map((line) => JSON.parse(line))).toEqual([
    { event: 'step', name: 'build', status: 'start', title: 'Build the images' },
    { event: 'step', name: 'build.auth', status: 'start', title: 'auth' },
    { event: 'step', name: 'build.auth', status: 'ok', ms: 300 },
    { event: 'note', step: 'build', text: 'five images' },
    { event: 'warning', step: 'build', text: 'slow disk' },
    { event: 'step', name: 'build', status: 'ok', ms: 1500, detail: '5 built' },
    { event: 'step', name: 'migrate', status: 'start', title: 'Migrate' },
    { event: 'step', name: 'migrate', status: 'failed', ms: 64_000 },
    { event: 'finish', command: 'deploy', exit: 40, ms: 65_500, message: 'The migration failed', lines: ['Fix it.'] },
  ]);
});

test('on a terminal: a spinner that is cleared, and what stays is what a log has', async () => {
  const out = record({ terminal: true });
  await deploy(out);
  expect(out.text()).toContain('⠋ Build the images … 0 s');
  expect(out.text()).toContain(`${ESCAPE}[32m✓${ESCAPE}[0m Build the images … 1.5 s`);
  expect(onScreen(out.text())).toEqual([
    '· Build the images',
    '  ✓ auth … 0.3 s',
    '  five images',
    '  ! slow disk',
    '✓ Build the images … 1.5 s  5 built',
    '✗ Migrate … 1 min 4 s',
    '✗ The migration failed',
    '  Fix it.',
  ]);
});

test('a terminal whose user wants no colours gets none', async () => {
  const out = record({ terminal: true, colour: false });
  await deploy(out);
  expect(out.text()).not.toContain(`${ESCAPE}[3`);
  expect(out.text()).toContain('✓ Build the images');
});

test('every step that ended is on record, the failed one too', async () => {
  const out = record({});
  await deploy(out);
  expect(out.report.steps).toEqual([
    { name: 'build.auth', ms: 300, result: 'ok' },
    { name: 'build', ms: 1500, result: 'ok' },
    { name: 'migrate', ms: 64_000, result: 'failed' },
  ]);
});

test('what a step returns and throws is what its caller gets', async () => {
  const { report } = record({});
  await expect(report.step('a', 'A', async () => 7)).resolves.toBe(7);
  await expect(report.step('a', 'A', () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
});

test('a long reason is cut to one screen, both ends kept', () => {
  const out = record({});
  const lines = Array.from({ length: 500 }, (_, number) => `line ${number}`);
  out.report.finish({ command: 'deploy', exit: EXIT.bug, message: 'No', lines: [lines.join('\n')] });
  expect(out.lines().length).toBeLessThan(45);
  expect(out.text()).toContain('line 0\n');
  expect(out.text()).toContain('line 499\n');
  expect(out.text()).toContain('460 lines more');
});

/** What a terminal shows in the end: what was written last of each line, after the last time it was cleared. */
function onScreen(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.slice(line.lastIndexOf(`${ESCAPE}[2K`) + 1).replace(/^\[2K/, ''))
    .map((line) => line.replaceAll(new RegExp(`${ESCAPE}\\[[0-9;]*[mK]`, 'g'), '').replace('\r', ''))
    .filter(Boolean);
}
