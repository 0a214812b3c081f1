import { type Cast, have, invent, login } from './cast.ts';
import { expect, type Scene } from './story.ts';

interface Founded {
  user: { id: string };
  organization: { id: string; name: string };
}

export async function greet({ client, narrator }: Scene): Promise<void> {
  narrator.sent('-', 'GET /health');
  const answer = await client.get<{ status: string }>('/health');
  narrator.received(answer);
  expect(answer.status === 200 && answer.body.status === 'healthy', 'the platform is healthy');
}

/** The first organization and its admin, together or not at all, once in the life of a platform. */
export async function bootstrap(scene: Scene, cast: Cast): Promise<void> {
  const { client, narrator, keepsakes } = scene;
  const admin = keepsakes.read().admin ?? invent('Ada', 'ada@acme.test');
  keepsakes.keep({ admin });
  const secret = scene.secret('BOOTSTRAP_SECRET');
  const { email, name, password } = admin;
  const body = { ...(secret ? { secret } : {}), organization: { name: 'Acme' }, admin: { email, name, password } };
  narrator.sent('-', 'POST /api/bootstrap', body);
  const answer = await client.post<Founded & { code?: string }>('/api/bootstrap', body);
  narrator.received(answer, answer.status === 201 ? answer.body : { title: answer.body['title' as never] });
  if (answer.status === 201) {
    const { user, organization } = answer.body;
    // Whatever was kept of a platform before this one means nothing here.
    keepsakes.keep({ admin: { ...admin, id: user.id }, organization, viewer: undefined, key: undefined });
    narrator.proved('founded, in one transaction; nobody can do it again');
  } else {
    expect(answer.body.code === 'bootstrap.completed', 'a bootstrap is either the first one or refused as completed');
    const known = keepsakes.read().organization;
    expect(known !== undefined, `${keepsakes.path} knows the admin of this platform, which somebody else bootstrapped`);
    narrator.proved(`exists already: ${known?.name}, founded by an earlier run; a second bootstrap is refused`);
  }
  cast.organization = keepsakes.read().organization as Founded['organization'];
}

export async function signIn(scene: Scene, cast: Cast): Promise<void> {
  const admin = scene.keepsakes.read().admin;
  expect(admin !== undefined, 'the admin is known');
  cast.ada = await login(scene, cast, admin);
  scene.narrator.sent(admin.name, 'GET /api/auth/me');
  const me = await cast.ada.client.get('/api/auth/me');
  scene.narrator.received(me);
  expect(me.status === 200, 'the token says who its bearer is');
}

/** Registration by an admin, the default mode: who registers is a viewer, and an anonymous stranger is refused. */
export async function registerViewer(scene: Scene, cast: Cast): Promise<void> {
  const { client, narrator, keepsakes } = scene;
  const viewer = keepsakes.read().viewer ?? invent('Vera', 'vera@acme.test');
  keepsakes.keep({ viewer });
  const { email, name, password } = viewer;
  const body = { email, name, password, org_id: have(cast, 'organization').id };

  if (viewer.id) narrator.note('Vera exists already, from an earlier run.');
  else {
    narrator.sent('-', 'POST /api/auth/register', body);
    const stranger = await client.post('/api/auth/register', body);
    narrator.received(stranger, { title: stranger.body['title'] });
    expect(stranger.status === 401, 'a stranger registers nobody');

    narrator.sent('Ada', 'POST /api/auth/register', body);
    const answer = await have(cast, 'ada').client.post<{ user: { id: string; role: string } }>(
      '/api/auth/register',
      body,
    );
    narrator.received(answer);
    expect(answer.status === 201 && answer.body.user.role === 'viewer', 'an admin registers a viewer');
    keepsakes.keep({ viewer: { ...viewer, id: answer.body.user.id } });
  }
  cast.vera = await login(scene, cast, viewer);
}

export async function signOut(scene: Scene, cast: Cast): Promise<void> {
  const ada = have(cast, 'ada');
  scene.narrator.sent('Ada', 'POST /api/auth/logout');
  const answer = await ada.client.post('/api/auth/logout');
  scene.narrator.received(answer);
  expect(answer.status === 204, 'a sign-out ends the session');
}
