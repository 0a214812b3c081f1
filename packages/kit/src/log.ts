import { mkdirSync } from 'node:fs';
import winston from 'winston';
import 'winston-daily-rotate-file';
import { requestContext } from './context.ts';
import { redact } from './redact.ts';

export type Logger = winston.Logger;

interface LogOptions {
  service: string;
  version: string;
  environment: string;
  level: string;
  /** Folder for rotating files beside stdout: 10 MB each, ten kept, errors also apart. */
  dir?: string | undefined;
}

// Names of the OpenTelemetry log model and semantic conventions; a field that is not named here is not logged.
const FIELDS = new Set([
  'address',
  'attempt',
  'client.address',
  'client_request_id',
  'code',
  'constraint',
  'count',
  'db.error',
  'duration_ms',
  'error.type',
  'event.name',
  'exception.message',
  'exception.stacktrace',
  'file',
  'http.request.method',
  'http.response.body.size',
  'http.response.status_code',
  'http.route',
  'job.id',
  'job.name',
  'key.id',
  'kid',
  'limit',
  'name',
  'ops_port',
  'org.id',
  'outcome',
  'phase',
  'pool',
  'port',
  'queue',
  'reason',
  'request_id',
  'revision',
  'seq',
  'server.address',
  'session.hash',
  'signal',
  'state',
  'target',
  'trace_id',
  'unit',
  'upstream',
  'url.path',
  'user.id',
  'user_agent.original',
  'version',
]);
const SEVERITY: Record<string, number> = { error: 17, warn: 13, info: 9, debug: 5 };
const MAX_FIELD = 2048;

/** The error of a log line, as fields. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { 'exception.message': String(error) };
  const cause = error.cause instanceof Error ? ` <- ${error.cause.message}` : '';
  return {
    'error.type': (error as NodeJS.ErrnoException).code ?? error.name,
    'exception.message': `${error.message}${cause}`,
    'exception.stacktrace': error.stack,
  };
}

/** A logger that writes one JSON object a line: fields by allow-list, values redacted and cut, ids of the request added. */
export function createLogger({ service, version, environment, level, dir }: LogOptions): Logger {
  const resource = {
    'service.name': service,
    'service.version': version,
    'deployment.environment.name': environment,
    'service.instance.id': `${service}-${process.pid}`,
  };
  const format = winston.format.printf((info) => {
    const line: Record<string, unknown> = {
      timestamp: new Date().toISOString(),
      severity_text: info.level.toUpperCase(),
      severity_number: SEVERITY[info.level] ?? 9,
      body: clean(info.message),
      ...resource,
      ...requestContext.getStore(),
    };
    for (const name of Object.keys(info)) if (FIELDS.has(name)) line[name] = clean(info[name]);
    return JSON.stringify(line);
  });
  const transports: winston.transport[] = [new winston.transports.Console()];
  if (dir) {
    mkdirSync(dir, { recursive: true });
    const file = { dirname: dir, maxSize: '10m', maxFiles: 10, auditFile: `${dir}/.${service}.json` };
    transports.push(
      new winston.transports.DailyRotateFile({ ...file, filename: `${service}-%DATE%.log` }),
      new winston.transports.DailyRotateFile({
        ...file,
        filename: `${service}-error-%DATE%.log`,
        auditFile: `${dir}/.${service}-error.json`,
        level: 'error',
      }),
    );
  }
  return winston.createLogger({ level, format, transports, exitOnError: false });
}

function clean(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null) return value;
  return redact(String(value)).slice(0, MAX_FIELD);
}
