import { mkdirSync } from 'node:fs';
import winston from 'winston';
import 'winston-daily-rotate-file';
import { requestContext } from './context.ts';
import { writeLine } from './line-buffer.ts';
import { countDropped, output } from './log-output.ts';
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
// Where winston's transports look for the finished line.
const MESSAGE = Symbol.for('message');

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

/** Takes the fields of a line as the inside of a JSON object, safe to write as they are. */
type LineSink = (level: 'info' | 'error', fields: string) => void;
const sinks = new WeakMap<Logger, LineSink>();

/** The short way to a logger's stdout and files, for the line of every request; none for a logger made elsewhere. */
export function lineSink(log: Logger): LineSink | undefined {
  return sinks.get(log);
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
  const files = dir ? rotatingFiles(dir, service) : [];
  const transports = [new winston.transports.Stream({ stream: output }), ...files];
  const log = winston.createLogger({ level, format, transports, exitOnError: false });
  log.on('error', () => countDropped());

  const constant = JSON.stringify(resource).slice(1, -1);
  sinks.set(log, (lineLevel, fields) => {
    const severity = `"severity_text":"${lineLevel.toUpperCase()}","severity_number":${SEVERITY[lineLevel]}`;
    const line = `{"timestamp":"${timestamp()}",${severity},${constant},${fields}}`;
    writeLine(line);
    for (const file of files)
      if (!file.level || file.level === lineLevel) file.log?.({ level: lineLevel, [MESSAGE]: line }, () => undefined);
  });
  return log;
}

let lastMs = 0;
let lastText = '';

/** The time now as RFC 3339; under load many lines share a millisecond and its text. */
function timestamp(): string {
  const now = Date.now();
  if (now !== lastMs) {
    lastMs = now;
    lastText = new Date(now).toISOString();
  }
  return lastText;
}

/** A full disk breaks a file until its next turn, and would end the process; stdout has every line all the same. */
function outliveFullDisk(file: winston.transport): winston.transport {
  const { logStream } = file as winston.transport & { logStream: NodeJS.EventEmitter };
  logStream.on('error', () => countDropped());
  return file;
}

function rotatingFiles(dir: string, service: string): winston.transport[] {
  mkdirSync(dir, { recursive: true });
  const file = { dirname: dir, maxSize: '10m', maxFiles: 10, auditFile: `${dir}/.${service}.json` };
  return [
    new winston.transports.DailyRotateFile({ ...file, filename: `${service}-%DATE%.log` }),
    new winston.transports.DailyRotateFile({
      ...file,
      filename: `${service}-error-%DATE%.log`,
      auditFile: `${dir}/.${service}-error.json`,
      level: 'error',
    }),
  ].map(outliveFullDisk);
}

function clean(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null) return value;
  return redact(String(value)).slice(0, MAX_FIELD);
}
