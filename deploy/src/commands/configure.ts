import { checkConfiguration, renderEdge } from '../configuration.ts';
import type { Command, Context } from '../context.ts';
import { uncolouredServices } from '../deploy/infrastructure.ts';
import { EXIT, Failure } from '../failure.ts';
import { writeMonitoring } from '../monitoring.ts';
import { type Colour, servicesOf } from '../places.ts';
import { checkSecrets } from '../secrets/check.ts';
import { readLive } from '../state.ts';

/** `make configure`: checks secrets and settings and writes what the containers mount, for a start by hand. */
export const command: Command = async (context) => {
  const { compose, places, project, report, environment } = context;
  const mistakes = [...checkSecrets(context), ...(await checkConfiguration(context))];
  if (mistakes.length > 0)
    throw new Failure(
      EXIT.secrets,
      `${mistakes.length} mistakes in the settings or secrets of ${environment}`,
      mistakes,
    );
  const colour = readLive(places)?.colour ?? 'blue';
  await renderEdge(context, colour);
  const { source, settingsFile, variables } = compose.options;
  writeMonitoring(source, places, context.settings);
  const assignments = Object.entries(variables).map(([key, value]) => `${key}=${quoted(value)}`);
  const file = `${source}/docker-compose.production.yml`;
  const start = [
    ...assignments,
    ...['docker', 'compose', '-p', project, '--project-directory', quoted(source), '-f', quoted(file)],
    ...['--env-file', quoted(settingsFile), 'up', '-d', ...(await named(context, colour))],
  ].join(' ');
  const lines = [`Written: ${places.nginx} and ${places.monitoring}`, '', 'To start it by hand:', `  ${start}`];
  report.show('configure', { nginx: places.nginx, monitoring: places.monitoring, start }, lines);
};

/** Without names Compose starts all of it in blue: they are needed where that is not what this host runs. */
async function named(context: Context, colour: Colour): Promise<string[]> {
  if (colour === 'blue' && !context.settings['DEPLOY_WITHOUT']) return [];
  return [...(await uncolouredServices(context)), 'migrate', ...servicesOf(colour)];
}

function quoted(text: string): string {
  return /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
