/** What may stand in `${…}`. JSON goes in as text (`${JSON.stringify(x)}::jsonb`): pg would send a list as an array. */
export type Parameter = Scalar | readonly Scalar[] | Fragment;
type Scalar = string | number | bigint | boolean | Date | Uint8Array | null;

/** A piece of SQL with its parameters, made by the tag `sql`. */
export interface Fragment {
  readonly [FRAGMENT]: true;
  readonly strings: readonly string[];
  readonly values: readonly Parameter[];
}

export interface Statement {
  text: string;
  values: unknown[];
  /** Its name as a prepared statement; without one it is parsed each time. */
  name: string | undefined;
  /** Its first word, for metrics. */
  operation: Operation;
}

export const OPERATIONS = ['select', 'insert', 'update', 'delete', 'with', 'other'] as const;
export type Operation = (typeof OPERATIONS)[number];

const FRAGMENT = Symbol('sql fragment');
const built = new WeakMap<TemplateStringsArray, Omit<Statement, 'values'>>();
let named = 0;

/** A piece of SQL to nest in another: `${sql`and m.role = ${role}`}`. Statements with one are not prepared. */
export function sql(strings: TemplateStringsArray, ...values: Parameter[]): Fragment {
  return { [FRAGMENT]: true, strings, values };
}

/** Fragments in a row with SQL between them that the caller wrote: `join(conditions, sql` and `)`. */
export function join(fragments: readonly Fragment[], separator: Fragment): Fragment {
  const parts = fragments.flatMap((fragment, index) => (index === 0 ? [fragment] : [separator, fragment]));
  return { [FRAGMENT]: true, strings: Array(parts.length + 1).fill(''), values: parts };
}

/** The statement of a template. Its text is built once: a template's strings are the same object at every call. */
export function statement(strings: TemplateStringsArray, values: readonly Parameter[]): Statement {
  if (values.some(isFragment)) return flattened(strings, values);
  let known = built.get(strings);
  if (!known) {
    const text = strings.reduce((sofar, piece, index) => `${sofar}$${index}${piece}`);
    known = { text, name: `gatehouse_${++named}`, operation: operationOf(text) };
    built.set(strings, known);
  }
  return { text: known.text, name: known.name, operation: known.operation, values: values as unknown[] };
}

function flattened(strings: readonly string[], values: readonly Parameter[]): Statement {
  const parameters: unknown[] = [];
  const text = write({ [FRAGMENT]: true, strings, values }, parameters);
  return { text, values: parameters, name: undefined, operation: operationOf(text) };
}

function write({ strings, values }: Fragment, parameters: unknown[]): string {
  return strings.reduce((sofar, piece, index) => {
    const value = values[index - 1] as Parameter;
    return `${sofar}${isFragment(value) ? write(value, parameters) : `$${parameters.push(value)}`}${piece}`;
  });
}

function isFragment(value: Parameter): value is Fragment {
  return typeof value === 'object' && value !== null && FRAGMENT in value;
}

function operationOf(text: string): Operation {
  const word = /^\s*(\w+)/.exec(text)?.[1]?.toLowerCase();
  return OPERATIONS.find((operation) => operation === word) ?? 'other';
}
