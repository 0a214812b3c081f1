// Publishes what a deployer did into the audit log: the type of the event and its data, as JSON, are the arguments.
import { systemActor } from '@gatehouse/kit/actor';
import { databaseSettings, loadConfig, secret } from '@gatehouse/kit/config';
import { openPool } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { z } from 'zod';

const Config = z.object({ ...databaseSettings, WORKER_DATABASE_PASSWORD: secret() });
const Type = z.enum(['platform.deployed.v1', 'platform.rolled_back.v1', 'platform.restored.v1']);

const type = Type.parse(process.argv[2]);
const data = JSON.parse(process.argv[3] ?? 'null');
const config = loadConfig(Config, process.env);
// Of those that may write events, the one whose work is nobody's request.
const pool = openPool({
  host: config.DATABASE_HOST,
  port: config.DATABASE_PORT,
  database: config.DATABASE_NAME,
  tls: config.DATABASE_TLS,
  user: 'gatehouse_worker',
  password: config.WORKER_DATABASE_PASSWORD,
  max: 1,
  name: 'record-event',
});
try {
  const requestId = newId();
  // What does not fit its event is refused by publish.
  await publish(pool, systemActor('deploy', requestId), type, data, {
    target: { type: 'deployment', id: String(data?.environment) },
  });
  process.stdout.write(`${JSON.stringify({ type, request_id: requestId })}\n`);
} finally {
  await pool.end();
}
