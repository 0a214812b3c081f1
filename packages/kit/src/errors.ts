import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';

/** One mistake in a request: a JSON pointer (RFC 6901) to it and what is wrong. */
export interface ErrorDetail {
  pointer: string;
  message: string;
}

interface AppErrorOptions {
  cause?: unknown;
  details?: ErrorDetail[];
  headers?: Record<string, string>;
  /** Members of the problem document beyond those of every other (RFC 9457, section 3.2). */
  extensions?: Record<string, unknown>;
}

/** An expected refusal. The status belongs to the code (contracts/errors.ts); whatever else is thrown is a bug. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: ErrorDetail[] | undefined;
  readonly headers: Record<string, string> | undefined;
  readonly extensions: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message?: string, { cause, details, headers, extensions }: AppErrorOptions = {}) {
    super(message ?? ERRORS[code].title, { cause });
    this.name = 'AppError';
    this.code = code;
    this.status = ERRORS[code].status;
    this.details = details;
    this.headers = headers;
    this.extensions = extensions;
  }
}

/** An error as it is told to a client: RFC 9457 `application/problem+json`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  request_id: string;
  errors?: ErrorDetail[];
}

/** The problem document of an error. A bug tells nothing but its request id. */
export function toProblem(error: AppError, requestId: string): Problem {
  return {
    type: `urn:gatehouse:problem:${error.code}`,
    title: ERRORS[error.code].title,
    status: error.status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...(error.details ? { errors: error.details } : {}),
    ...error.extensions,
  };
}

// SQLSTATEs with which PostgreSQL refuses a value that no client should have sent (NUL, bad encoding, out of range).
const BAD_VALUES = new Set(['22021', '22P05', '22P02', '22003', '22008']);

/** The AppError that a thrown value stands for, or undefined when it is a bug. */
export function asAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === 'string' && BAD_VALUES.has(code))
    return new AppError('request.invalid', 'A value cannot be stored.', { cause: error });
  return undefined;
}
