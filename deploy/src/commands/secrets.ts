import type { Command } from '../context.ts';
import { ensureSecrets } from '../secrets/ensure.ts';
import { HELPER_IMAGE, isRoot } from '../secrets/vault.ts';

/** `make secrets`: makes every secret that is missing, and says what the deployer must still supply. */
export const command: Command = async (context, variables) => {
  const { environment, places, settings, report } = context;
  const selfSigned = process.env['SELF_SIGNED'] === '1' || environment !== 'production';
  const { made, missing, sealed } = await ensureSecrets(context, { acceptLoss: variables.force !== '', selfSigned });
  const bootstrap = `${places.secrets}/app/BOOTSTRAP_SECRET`;
  const read = isRoot()
    ? `cat ${bootstrap}`
    : `docker run --rm --log-driver none -v ${bootstrap}:/secret:ro ${HELPER_IMAGE} cat /secret`;
  const lines = [
    made.length > 0 ? `Made in ${places.state}:` : `All secrets are in ${places.secrets}; nothing was made.`,
    ...made.map((name) => `  ${name}`),
    `Sealed copy: ${sealed}`,
    ...listed(
      'Still to be supplied by you:',
      missing.filter(({ optional }) => !optional),
    ),
    ...listed(
      'Optional:',
      missing.filter(({ optional }) => optional),
    ),
    '',
    'The first administrator, once the platform runs:',
    `  read the bootstrap secret:  ${read}`,
    `  and send it, with an organization and its admin, to POST ${settings['PUBLIC_URL']}/api/bootstrap`,
    '  It is worth something until the first administrator exists.',
  ];
  report.show('secrets', { made, missing, sealed }, lines);
};

function listed(title: string, missing: readonly { what: string; where: string }[]): string[] {
  if (missing.length === 0) return [];
  return ['', title, ...missing.flatMap(({ what, where }) => [`  - ${what}`, `    ${where}`])];
}
