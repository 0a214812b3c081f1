import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '@gatehouse/contracts/errors';
import type { IdentityOrg } from '@gatehouse/contracts/identity';
import { OrgPermission } from '@gatehouse/contracts/permissions';
import { z } from 'zod';
import type { Actor, OrgActor, UserActor } from './actor.ts';

export const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;
export type Method = (typeof METHODS)[number];

/**
 * Who may call an endpoint: `public` anyone the gateway vouches for, anonymous included; `user` a signed-in user;
 * `platform_admin`; `internal` the gateway itself; else a permission in the organization that the request acts for.
 */
export type Permission = 'public' | 'user' | 'platform_admin' | 'internal' | OrgPermission;

type ActorFor<P extends Permission> = P extends OrgPermission
  ? OrgActor
  : P extends 'user' | 'platform_admin'
    ? UserActor
    : Actor;

/** What a handler gets: everything checked, nothing of Express. */
export interface Context<P extends Permission, Params, Query, Body> {
  actor: ActorFor<P>;
  org: P extends OrgPermission ? IdentityOrg : undefined;
  params: Params;
  query: Query;
  body: Body;
  /** The body as it came, for a signature over it. */
  rawBody: Buffer;
  headers: IncomingHttpHeaders;
}

/** An answer with another status than the declaration's first, or with headers of its own. */
export interface Reply {
  readonly reply: true;
  status: number;
  body: unknown;
  headers: ReplyHeaders;
}

/** A list is sent as so many headers of that name, as cookies are. */
export type ReplyHeaders = Record<string, string | string[]>;

export function reply(status: number, body?: unknown, headers: ReplyHeaders = {}): Reply {
  return { reply: true, status, body, headers };
}

type Answers = Record<number, z.ZodType>;
type MethodAndPath = { [M in Method]?: string };

interface EndpointSpec<P extends Permission, Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>
  extends MethodAndPath {
  /** One line for the API reference. */
  summary: string;
  description?: string;
  permission: P;
  /** Path parameters other than `:org_id`, which an organization permission checks by itself. */
  params?: Params;
  query?: Query;
  body?: Body;
  /** Schemas by status; the lowest one is what `handle` returns when it does not use `reply`. */
  answers: Answers;
  /** Codes that this endpoint answers with, beside those that every endpoint has. */
  errors?: readonly ErrorCode[];
  /** Bytes; 64 KiB by default. */
  bodyLimit?: number;
  /** Lets users with an unconfirmed address write here. */
  guests?: boolean;
  /** Asks for a proof of who the user is that is not older than ten minutes. */
  fresh?: boolean;
  /** Asks for a session that was opened with a second factor. */
  secondFactor?: boolean;
  /** Runs before the body is read and validated; throws to refuse. */
  before?: (actor: ActorFor<P>) => Promise<void>;
  handle: (context: Context<P, z.output<Params>, z.output<Query>, z.output<Body>>) => unknown;
}

/** A declared endpoint: what dispatch, OpenAPI, the permission table and the tests' route list are made from. */
export interface Endpoint {
  method: Method;
  path: string;
  summary: string;
  description?: string | undefined;
  permission: Permission;
  orgPermission: OrgPermission | undefined;
  params: z.ZodType | undefined;
  query: z.ZodType | undefined;
  body: z.ZodType | undefined;
  answers: Answers;
  status: number;
  errors: readonly ErrorCode[];
  bodyLimit: number;
  guests: boolean;
  fresh: boolean;
  secondFactor: boolean;
  idempotent: boolean;
  before: ((actor: Actor) => Promise<void>) | undefined;
  handle: (context: Context<Permission, unknown, unknown, unknown>) => unknown;
}

const DEFAULT_BODY_LIMIT = 64 * 1024;
const isOrgPermission = (permission: Permission): permission is OrgPermission =>
  OrgPermission.options.includes(permission as OrgPermission);

/** Declares an endpoint. Throws on a declaration that contradicts itself, so that a test run finds it. */
export function endpoint<
  const P extends Permission,
  Params extends z.ZodType = z.ZodObject,
  Query extends z.ZodType = z.ZodObject,
  Body extends z.ZodType = z.ZodUndefined,
>(spec: EndpointSpec<P, Params, Query, Body>): Endpoint {
  const methods = METHODS.filter((method) => spec[method] !== undefined);
  const method = methods[0];
  const path = method && spec[method];
  if (!method || !path || methods.length !== 1) throw new Error(`declare one method and path: ${spec.summary}`);
  const statuses = Object.keys(spec.answers).map(Number);
  const status = Math.min(...statuses);
  const orgPermission = isOrgPermission(spec.permission) ? spec.permission : undefined;
  checkParameters(path, spec.params, orgPermission);
  return {
    method,
    path,
    summary: spec.summary,
    description: spec.description,
    permission: spec.permission,
    orgPermission,
    params: spec.params,
    query: spec.query,
    body: spec.body,
    answers: spec.answers,
    status,
    errors: spec.errors ?? [],
    bodyLimit: spec.bodyLimit ?? DEFAULT_BODY_LIMIT,
    guests: spec.guests ?? false,
    fresh: spec.fresh ?? false,
    secondFactor: spec.secondFactor ?? false,
    idempotent: method === 'post' && status === 201 && spec.permission !== 'public',
    before: spec.before as Endpoint['before'],
    handle: spec.handle as unknown as Endpoint['handle'],
  };
}

function checkParameters(path: string, params: z.ZodType | undefined, orgPermission: OrgPermission | undefined): void {
  const inPath = [...path.matchAll(/:(\w+)/g)]
    .map(([, name]) => name)
    .filter((name) => !(orgPermission && name === 'org_id'));
  const declared = params instanceof z.ZodObject ? Object.keys(params.shape) : [];
  if (inPath.sort().join() !== declared.sort().join())
    throw new Error(`parameters of ${path} and its declaration differ: ${inPath} / ${declared}`);
}
