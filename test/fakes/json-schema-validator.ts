/**
 * As much of a JSON Schema validator as the configuration's schemas use. It throws on a keyword that it does not know, so that a
 * schema cannot say something that no test looks at.
 */
import type { jsonSchema } from '../../src/config/json-schema.ts';

type Schema = ReturnType<typeof jsonSchema>;

const WITHOUT_EFFECT = new Set(['$schema', 'title', 'description', 'default', 'examples', 'propertyNames']);
const KNOWN = new Set([
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'minItems',
  'maxItems',
  'minLength',
  'maxLength',
  'pattern',
  'minimum',
  'maximum',
  'enum',
  'const',
  'anyOf',
]);

/** Every place where a value does not fit a schema, as `path: why`. */
export function validate(schema: Schema, value: unknown, path = ''): readonly string[] {
  for (const keyword of Object.keys(schema)) {
    if (!KNOWN.has(keyword) && !WITHOUT_EFFECT.has(keyword)) throw new Error(`the keyword ${keyword} at ${path}`);
  }
  const wrong = (why: string): readonly string[] => [`${path}: ${why}`];
  if (schema.anyOf !== undefined) {
    const fits = schema.anyOf.some(
      (branch) => typeof branch === 'object' && validate(branch, value, path).length === 0,
    );
    return fits ? [] : wrong('fits no branch');
  }
  if (schema.enum !== undefined) return schema.enum.some((one) => one === value) ? [] : wrong('is none of its values');
  if (schema.const !== undefined) return schema.const === value ? [] : wrong('is not its value');
  if (schema.type === 'string')
    return typeof value === 'string' ? validateText(schema, value, wrong) : wrong('is no string');
  if (schema.type === 'integer')
    return Number.isInteger(value) ? validateNumber(schema, Number(value), wrong) : wrong('is no integer');
  if (schema.type === 'boolean') return typeof value === 'boolean' ? [] : wrong('is no boolean');
  if (schema.type === 'array') return Array.isArray(value) ? validateItems(schema, value, path) : wrong('is no array');
  if (schema.type === 'object') {
    return typeof value === 'object' && value !== null
      ? validateProperties(schema, new Map(Object.entries(value)), path)
      : wrong('is no object');
  }
  throw new Error(`no type at ${path}`);
}

type Wrong = (why: string) => readonly string[];

function validateText(schema: Schema, value: string, wrong: Wrong): readonly string[] {
  if (value.length < (schema.minLength ?? 0) || value.length > (schema.maxLength ?? Infinity))
    return wrong('has not its length');
  return schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(value) ? [] : wrong('fits no pattern');
}

function validateNumber(schema: Schema, value: number, wrong: Wrong): readonly string[] {
  return value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity) ? wrong('is out of range') : [];
}

function validateItems(schema: Schema, value: readonly unknown[], path: string): readonly string[] {
  if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? Infinity))
    return [`${path}: has not its length`];
  const { items } = schema;
  if (typeof items !== 'object' || Array.isArray(items)) throw new Error(`no items at ${path}`);
  return value.flatMap((item, index) => validate(items, item, `${path}[${index}]`));
}

function validateProperties(schema: Schema, value: ReadonlyMap<string, unknown>, path: string): readonly string[] {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const missing = (schema.required ?? []).filter((key) => !value.has(key)).map((key) => `${at(key)}: is missing`);
  const found = [...value].flatMap(([key, item]) => {
    const property = schema.properties?.[key] ?? schema.additionalProperties;
    return typeof property === 'object' ? validate(property, item, at(key)) : [`${at(key)}: is not known`];
  });
  return [...missing, ...found];
}
