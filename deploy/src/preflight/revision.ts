import { must, run } from '../command.ts';
import { error, type Finding, warning } from './findings.ts';

/** The revision is a commit, and nothing that somebody believes to deploy lies uncommitted beside it. */
export async function judgeRevision(checkout: string, revision: string): Promise<Finding[]> {
  const git = (...args: string[]) => run('git', ['-C', checkout, ...args]);
  if ((await git('rev-parse', '--git-dir')).code !== 0)
    return [error('revision', `${checkout} is no checkout of Git`, 'Clone the repository, and deploy from there')];
  if ((await git('cat-file', '-e', `${revision}^{commit}`)).code !== 0)
    return [error('revision', `${revision} is no commit`, 'Fetch it, or name another with REVISION=…')];
  const findings: Finding[] = [];
  const dirty = (await must('git', ['-C', checkout, 'status', '--porcelain'])).split('\n').filter(Boolean);
  if (dirty.length > 0) {
    const named = dirty.slice(0, 3).map((line) => line.slice(3));
    const rest = dirty.length > 3 ? ` and ${dirty.length - 3} more` : '';
    findings.push({
      ...error(
        'revision',
        `${named.join(', ')}${rest} are not committed, so they are not deployed`,
        'Commit them, or FORCE=reason',
      ),
      forcible: true,
    });
  }
  const remotes = (await git('remote')).stdout.trim();
  const pushed = (await git('branch', '-r', '--contains', revision)).stdout.trim();
  const tagged = (await git('tag', '--contains', revision)).stdout.trim();
  if (remotes && !pushed && !tagged)
    findings.push(
      warning('revision', `${revision} is on no remote branch`, 'Push it: who looks for what runs here finds nothing'),
    );
  return findings;
}
