import { visitor } from './house.ts';

export interface Operation {
  method: string;
  /** With `{name}` for its parameters. */
  path: string;
  /** `public`, `user`, `platform_admin`, or a permission in the organization. */
  permission: string;
  tag: string;
}

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { 'x-permission'?: string; tags?: string[] }>>;
}

/** Every operation of the served API reference: what the generated tests go through, so that no route is forgotten. */
export async function operations(): Promise<Operation[]> {
  const answer = await visitor().get<Document>('/api/openapi.json');
  if (answer.status !== 200) throw new Error(`no API reference: ${answer.status}`);
  return Object.entries(answer.body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      permission: operation['x-permission'] ?? '',
      tag: operation.tags?.[0] ?? '',
    })),
  );
}

/** The path with its parameters filled in; those that nobody names get an id that nothing has. */
export function filled({ path }: Operation, values: Record<string, string> = {}): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f607');
}

/** Whether an operation belongs to an organization that its path names. */
export const isOfOrganization = ({ path }: Operation) => path.includes('{org_id}') && path.startsWith('/api/org/');
