/**
 * A plan held against the type that it is for, all the way down: every difference as a line.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { PlanNode, PlannedField } from '../../src/protobuf/field-plan.ts';

/** Where the plan says something else than the type; empty when it is right and total. */
export function differences(node: PlanNode, type: DescMessage): readonly string[] {
  const found: string[] = [];
  compare(node, type, type.typeName, found, new Map());
  return found;
}

function compare(
  node: PlanNode,
  type: DescMessage,
  path: string,
  found: string[],
  seen: Map<PlanNode, Set<string>>,
): void {
  const types = seen.get(node) ?? new Set();
  seen.set(node, types);
  if (types.has(type.typeName)) return;
  types.add(type.typeName);
  const planned = new Map<number, PlannedField>([...node.fields.entries(), ...(node.high ?? [])]);
  const rest = new Set([...planned].filter(([, field]) => field.kind !== 'unknown').map(([number]) => number));
  for (const field of type.fields) {
    rest.delete(field.number);
    const at = `${path}.${field.name}`;
    const mine = planned.get(field.number) ?? { kind: 'unknown' };
    const [said, is] = [describePlanned(mine), describeField(field)];
    if (said !== is) found.push(`${at}: ${said} instead of ${is}`);
    if (mine.kind !== 'message' && mine.kind !== 'group') continue;
    if (field.fieldKind === 'map') compareEntry(mine.node, field, at, found, seen);
    else if (field.message !== undefined) compare(mine.node, field.message, at, found, seen);
  }
  for (const number of rest) found.push(`${path}: ${number} is no field`);
}

function compareEntry(
  node: PlanNode,
  field: DescField & { readonly fieldKind: 'map' },
  at: string,
  found: string[],
  seen: Map<PlanNode, Set<string>>,
): void {
  const [key, value] = [node.fields[1] ?? { kind: 'unknown' as const }, node.fields[2] ?? { kind: 'unknown' as const }];
  const expected = field.mapKind === 'message' ? 'message' : scalarText(field.scalar ?? ScalarType.INT32, false);
  const text = `${describePlanned(key)}, ${describePlanned(value)}`;
  if (text !== `${scalarText(field.mapKey, false)}, ${expected}`) found.push(`${at}: a map of ${text}`);
  if (value.kind === 'message' && field.message !== undefined) compare(value.node, field.message, at, found, seen);
}

function describePlanned(field: PlannedField): string {
  switch (field.kind) {
    case 'number':
      return `wire type ${field.wireType}${field.repeated ? ', list' : ''}`;
    case 'measured':
      return `wire type 0${field.repeated ? ', list' : ''}`;
    case 'integer':
    case 'scoped-integer':
      return 'wire type 0';
    case 'captured':
    case 'scoped':
    case 'key':
    case 'payload':
      return 'length-delimited';
    case 'message':
    case 'group':
    case 'unknown':
      return field.kind;
  }
}

function describeField(field: DescField): string {
  if (field.fieldKind === 'map') return 'message';
  if (field.message !== undefined) return field.delimitedEncoding === true ? 'group' : 'message';
  return scalarText(field.scalar ?? ScalarType.INT32, field.fieldKind === 'list');
}

function scalarText(scalar: ScalarType, list: boolean): string {
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return 'length-delimited';
  const fixed: Partial<Record<ScalarType, number>> = {
    [ScalarType.DOUBLE]: 1,
    [ScalarType.FIXED64]: 1,
    [ScalarType.SFIXED64]: 1,
    [ScalarType.FLOAT]: 5,
    [ScalarType.FIXED32]: 5,
    [ScalarType.SFIXED32]: 5,
  };
  return `wire type ${fixed[scalar] ?? 0}${list ? ', list' : ''}`;
}
