/**
 * Changes of the API keys in a tenant's file: whoever wrote the file finds it as it was, but for the lines that say the change.
 *
 * The new lines are put between the old ones at the places that the YAML library names. What came of it is read back and
 * must mean the old file with the change in it; where it does not (a layout that is not foreseen), the library writes the
 * whole file anew, with its comments.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  parseDocument,
  stringify,
  type YAMLMap,
} from 'yaml';

/** Members of a key as they are written. */
export interface KeyFields {
  readonly id?: string;
  readonly sha256?: string;
  readonly expires?: string;
  readonly previous?: { readonly sha256: string; readonly expires: string };
  readonly scopes?: readonly string[];
  readonly models?: readonly string[];
  readonly revoked?: boolean;
}

/** Adds a key as the last one (`index` undefined), or sets members of the key that stands at `index`. The text must be YAML. */
export function editKeys(text: string, index: number | undefined, fields: KeyFields): string {
  const document = parseDocument(text);
  const placed = index === undefined ? withKey(text, document, fields) : withFields(text, document, index, fields);
  if (index !== undefined) put(document, ['apiKeys', index], fields);
  else if (isSeq(document.get('apiKeys'))) document.addIn(['apiKeys'], document.createNode(fields));
  else put(document, ['apiKeys'], [fields]);
  if (placed !== undefined) {
    const read = parseDocument(placed);
    if (read.errors.length === 0 && isDeepStrictEqual(read.toJS(), document.toJS())) return placed;
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** Sets a value in the tree, member by member where there is a mapping already, and keeps the comments of what it replaces. */
function put(document: Document, path: readonly (string | number)[], value: unknown): void {
  const old: unknown = document.getIn(path, true);
  if (isMap(old) && typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) put(document, [...path, name], member);
    return;
  }
  const node = document.createNode(value);
  if (isNode(old)) Object.assign(node, { comment: old.comment, commentBefore: old.commentBefore });
  document.setIn(path, node);
}

function withKey(text: string, document: Document, fields: KeyFields): string | undefined {
  const keys = document.get('apiKeys');
  if (!document.has('apiKeys')) {
    const end = text === '' || text.endsWith('\n') ? '' : '\n';
    return `${text}${end}apiKeys:\n${itemLines('  ', fields)}`;
  }
  const last = isSeq(keys) && keys.flow !== true ? keys.items.at(-1) : undefined;
  const start = isMap(last) ? last.range?.[0] : undefined;
  const end = contentEnd(last);
  if (start === undefined || end === undefined) return undefined;
  const indent = /^( *)- $/.exec(text.slice(lineStart(text, start), start))?.[1];
  return indent === undefined ? undefined : insertLines(text, end, itemLines(indent, fields));
}

function withFields(text: string, document: Document, index: number, fields: KeyFields): string | undefined {
  const item = document.getIn(['apiKeys', index]);
  if (!isMap(item)) return undefined;
  let edited = text;
  // From the end of the file to its beginning, so that the places before stay where they are: first what is added behind.
  const isNew = ([name]: readonly [string, unknown]): boolean => !item.has(name);
  const added = Object.entries(fields).filter(isNew);
  const end = contentEnd(item);
  const start = item.range?.[0];
  if (start === undefined || end === undefined) return undefined;
  if (added.length > 0) {
    if (item.flow === true) {
      const more = added.map(([name, value]) => `, ${name}: ${flow(value)}`).join('');
      edited = spliced(edited, contentEnd(item.items.at(-1)) ?? end, contentEnd(item.items.at(-1)) ?? end, more);
    } else {
      const indent = ' '.repeat(start - lineStart(text, start));
      edited = insertLines(edited, end, added.map(([name, value]) => `${indent}${name}: ${flow(value)}\n`).join(''));
    }
  }
  const replaced = Object.entries(fields)
    .filter((field) => !isNew(field))
    .map(([name, value]) => ({ range: rangeOf(item, name), value }))
    .toSorted((a, b) => (b.range?.[0] ?? 0) - (a.range?.[0] ?? 0));
  for (const { range, value } of replaced) {
    if (range === undefined) return undefined;
    edited = spliced(edited, range[0], range[1], flow(value));
  }
  return edited;
}

/** Where a member's value stands; undefined when it is more than a word or a list in brackets. */
function rangeOf(item: YAMLMap, name: string): readonly [number, number] | undefined {
  const value: unknown = item.get(name, true);
  const simple = isScalar(value) || (isCollection(value) && value.flow === true);
  const range = simple ? value.range : undefined;
  return range ? [range[0], range[1]] : undefined;
}

/** Where the last word of a part of the document ends; comments behind it, which the library counts in, are the next part's. */
function contentEnd(node: unknown): number | undefined {
  if (isPair(node)) return contentEnd(node.value) ?? contentEnd(node.key);
  if (isCollection(node) && node.flow !== true) return contentEnd(node.items.at(-1));
  return isScalar(node) || isCollection(node) ? node.range?.[1] : undefined;
}

function itemLines(indent: string, fields: KeyFields): string {
  return Object.entries(fields)
    .map(([name, value], index) => `${indent}${index === 0 ? '- ' : '  '}${name}: ${flow(value)}\n`)
    .join('');
}

/** A value in one line, as the files of this project are written: `[a, b]`, `{ a: b }`. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'string' && /[,[\]{}]/.test(value)) return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return stringify(value, { lineWidth: 0 }).trimEnd();
  const members = Object.entries(value).map(([name, member]) => `${name}: ${flow(member)}`);
  return `{ ${members.join(', ')} }`;
}

function insertLines(text: string, after: number, lines: string): string {
  const end = text.indexOf('\n', after);
  return end < 0 ? `${text}\n${lines}` : spliced(text, end + 1, end + 1, lines);
}

function spliced(text: string, from: number, to: number, part: string): string {
  return text.slice(0, from) + part + text.slice(to);
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}
