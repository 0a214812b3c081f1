import { expect, test } from '@jest/globals';
import { EXIT } from './failure.ts';
import { createReporter } from './report.ts';
import { confirmDestruction } from './terminal.ts';

async function attempt(asking: { confirm?: string; typed?: string }): Promise<{ shown: string; code: number }> {
  let shown = '';
  const write = (text: string) => {
    shown += text;
  };
  const report = createReporter({ json: false, terminal: false, write });
  const { confirm = '', typed } = asking;
  const ask = async () => typed ?? '';
  const context = { environment: 'production', report } as const;
  try {
    await confirmDestruction(
      context,
      'Replace it',
      { database: '12 GB' },
      { confirm, interactive: typed !== undefined, ask },
    );
    return { shown, code: 0 };
  } catch (error) {
    return { shown, code: (error as { code: number }).code };
  }
}

test('who types or gives the name of the environment is let through, and has seen the size', async () => {
  const { shown, code } = await attempt({ typed: 'production\n' });
  expect([shown, code]).toEqual([expect.stringMatching(/environment\s+production\n\s+database\s+12 GB/), 0]);
  expect((await attempt({ confirm: 'production' })).code).toBe(0);
});

test.each([
  ['another name typed', { typed: 'staging' }],
  ['nothing typed', { typed: '' }],
  ['another name given', { confirm: 'staging' }],
  ['yes given', { confirm: '1' }],
  ['nobody there', {}],
])('%s destroys nothing', async (_, asking) => {
  expect((await attempt(asking)).code).toBe(EXIT.usage);
});
