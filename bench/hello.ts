// The baseline of a read: what Node's own HTTP server costs when it does nothing, or, with DATABASE, nothing but one
// query by primary key through node-postgres.
import { createServer } from 'node:http';
import pg from 'pg';

const { PORT, DATABASE, USER_ID } = process.env;
const pool = DATABASE ? new pg.Pool({ connectionString: DATABASE, max: 10 }) : undefined;

async function read(database: pg.Pool): Promise<string> {
  const { rows } = await database.query({
    name: 'user',
    text: 'select u.id, u.email, u.name, u.role, u.created_at from auth.users u where u.id = $1',
    values: [USER_ID],
  });
  return JSON.stringify(rows[0]);
}

const server = createServer(async (_req, res) => {
  // No await without a query: the plainest server is the one that answers at once.
  const text = pool ? await read(pool) : '{"hello":"world"}';
  res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(text) });
  res.end(text);
});
server.listen(Number(PORT), '127.0.0.1', () => process.stdout.write('listening\n'));
