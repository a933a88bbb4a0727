/**
 * Holds a document against its schema, and turns what the schema says into findings with a place and a fix.
 */
import type { z } from 'zod';
import type { YamlDocument } from './document.ts';
import type { Finding, ValuePath } from './finding.ts';
import { formatPath, MAX_FINDINGS_PER_FILE, moreFindings } from './finding.ts';
import { type FileKind, jsonSchema } from './json-schema.ts';
import { quote } from './schema-values.ts';
import { nearest } from './suggestion.ts';

type Issue = z.core.$ZodIssue;
type JsonSchema = z.core.JSONSchema.JSONSchema;

export interface Checked<T> {
  /** The document's value as the schema leaves it; undefined when it does not fit. */
  readonly value: T | undefined;
  /** The value as written; undefined when the file is no YAML. */
  readonly raw: unknown;
  readonly findings: readonly Finding[];
}

/** Reads a document and holds it against its schema. */
export function checkSchema<S extends z.ZodType>(
  document: YamlDocument,
  schema: S,
  kind: FileKind,
): Checked<z.output<S>> {
  const { value: raw, findings } = document.read();
  if (raw === undefined) return { value: undefined, raw, findings };
  const parsed = schema.safeParse(raw);
  if (parsed.success) return { value: parsed.data, raw, findings };
  const root = jsonSchema(kind);
  const issues = parsed.error.issues.flatMap(oneByOne);
  const misfits = issues.slice(0, MAX_FINDINGS_PER_FILE).flatMap((issue) => describe(document, raw, root, issue, []));
  const more = issues.length - MAX_FINDINGS_PER_FILE;
  if (more > 0) misfits.push(moreFindings(document.file, more, 'error'));
  return { value: undefined, raw, findings: [...findings, ...misfits] };
}

/** An issue for each unknown key, so that they can be counted. */
function oneByOne(issue: Issue): readonly Issue[] {
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ ...issue, keys: [key] })) : [issue];
}

function describe(
  document: YamlDocument,
  value: unknown,
  root: JsonSchema,
  issue: Issue,
  base: ValuePath,
): readonly Finding[] {
  const path = [...base, ...issue.path.filter((step) => typeof step !== 'symbol')];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey(document, root, [...path, key]));
  }
  if (issue.code === 'invalid_union') {
    const branch = nearestBranch(issue.errors);
    if (branch !== undefined && issue.message === 'Invalid input') {
      return branch.flatMap((inner) => describe(document, value, root, inner, path));
    }
  }
  const present = valueAt(value, path);
  const schema = schemaAt(root, path);
  if (present === undefined) {
    return [document.finding({ path }, 'is missing', addition(String(path.at(-1)), schema))];
  }
  if (present === null) return [document.finding({ path }, 'has no value', `write ${hint(schema)}, or remove the key`)];
  const [message, fix] = issue.message.split('\n');
  if (message !== undefined && fix !== undefined) return [document.finding({ path }, message, fix)];
  const at = issue.code === 'invalid_key' ? 'key' : 'value';
  return [document.finding({ path, at }, ...plain(issue, present, schema))];
}

/** What to say of an issue for which the schema has no words of its own. */
function plain(issue: Issue, present: unknown, schema: JsonSchema | undefined): readonly [string, string] {
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const near = typeof present === 'string' ? nearest(present, values) : undefined;
    const fix =
      near === undefined ? `write one of: ${values.join(', ')}` : `did you mean ${near}? One of: ${values.join(', ')}`;
    return [`${quote(present)} is not known here`, fix];
  }
  if (issue.code === 'invalid_type')
    return [`${quote(present)} is not ${article(issue.expected)}`, `write ${hint(schema)}`];
  if (issue.code === 'invalid_key')
    return ['has a name that is not allowed', issue.issues[0]?.message.split('\n')[1] ?? 'rename it'];
  if (issue.code === 'too_small' && issue.origin === 'array') return ['is empty', 'name at least one'];
  return [issue.message.toLowerCase(), `write ${hint(schema)}`];
}

function unknownKey(document: YamlDocument, root: JsonSchema, path: ValuePath): Finding {
  const key = String(path.at(-1));
  const parent = schemaAt(root, path.slice(0, -1));
  const known = Object.keys(parent?.properties ?? {});
  const near = nearest(key, known);
  const elsewhere = near === undefined ? findKey(root, key, []) : undefined;
  const fix =
    near !== undefined
      ? `did you mean ${near}?`
      : elsewhere !== undefined
        ? `it belongs under ${elsewhere}`
        : `remove it; known here: ${known.join(', ')}`;
  return document.finding({ path, at: 'key' }, 'is not a known key', fix);
}

/** The place in the schema where a key would be right. */
function findKey(schema: JsonSchema, key: string, path: ValuePath): string | undefined {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (typeof property === 'boolean') continue;
    const here = [...path, name];
    if (name === key && path.length > 0) return formatPath(path);
    const found = findKey(property, key, here);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Of a union, the branch that the value was meant for: the one whose complaints lie deepest. */
function nearestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const depth = (branch: readonly Issue[]): number => Math.min(...branch.map((issue) => issue.path.length));
  return branches.toSorted((a, b) => depth(b) - depth(a))[0];
}

function schemaAt(root: JsonSchema, path: ValuePath): JsonSchema | undefined {
  let schema: JsonSchema | boolean | undefined = root;
  for (const step of path) {
    if (typeof schema !== 'object') return undefined;
    const choice: JsonSchema =
      schema.anyOf?.find((one) => typeof one === 'object' && one.items !== undefined) ?? schema;
    const next: unknown = typeof step === 'number' ? choice.items : choice.properties?.[step];
    schema = isSchema(next) ? next : undefined;
  }
  return typeof schema === 'object' ? schema : undefined;
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** How a value of this schema looks. */
function hint(schema: JsonSchema | undefined): string {
  const example: unknown = schema?.examples?.[0];
  if (typeof example === 'string') return `for example ${example}`;
  if (schema?.enum !== undefined) return `one of ${schema.enum.join(', ')}`;
  if (schema?.type === 'object')
    return `a mapping with ${(schema.required ?? Object.keys(schema.properties ?? {})).join(', ')}`;
  if (schema?.type === 'array') return 'a list';
  if (schema?.type === 'integer') return 'a whole number';
  if (schema?.type === 'boolean') return 'true or false';
  return schema?.description === undefined ? 'a value' : `its value: ${schema.description.replace(/\.$/, '')}`;
}

const ARTICLES: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
};

function article(expected: string): string {
  return ARTICLES[expected] ?? expected;
}

function addition(key: string, schema: JsonSchema | undefined): string {
  const example: unknown = schema?.examples?.[0];
  return typeof example === 'string'
    ? `add it, for example ${key}: ${example}`
    : `add it: ${hint(schema).replace(/^its value: /, '')}`;
}

function valueAt(value: unknown, path: ValuePath): unknown {
  let here: unknown = value;
  for (const step of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = Object.hasOwn(here, step) ? Reflect.get(here, step) : undefined;
  }
  return here;
}
