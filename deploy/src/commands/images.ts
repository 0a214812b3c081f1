import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../command.ts';
import type { Context, Variables } from '../context.ts';
import { buildImages, IMAGES } from '../images.ts';
import { CHECKOUT, shortRevision } from '../project.ts';

/** `make images`: builds every image from the files of REVISION as they were committed, and names them. */
export async function command(context: Context, { revision: name }: Variables): Promise<void> {
  const { report } = context;
  const revision = await shortRevision(CHECKOUT, name);
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-images-'));
  try {
    const source = await report.step('source', `Take the files of ${revision}`, () => extract(revision, folder));
    const names = IMAGES.map((image) => image.name);
    const logs = join(tmpdir(), 'gatehouse-images', revision);
    const images = await report.step('build', `Build ${names.length} images`, () =>
      buildImages(context, { revision, source, names, logs }),
    );
    const lines = images.map(({ reference, id }) => `${reference}  ${id.replace('sha256:', '').slice(0, 12)}`);
    report.show('images', { revision, images }, lines);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function extract(revision: string, folder: string): Promise<string> {
  const archive = join(folder, 'source.tar');
  await must('git', ['-C', CHECKOUT, 'archive', '--format=tar', `--prefix=source/`, `--output=${archive}`, revision]);
  await must('tar', ['-xf', archive, '-C', folder]);
  return join(folder, 'source');
}
