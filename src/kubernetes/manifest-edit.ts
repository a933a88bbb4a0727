/**
 * Changes a YAML or JSON text by inserting into it, so that every byte which is not ours stays as it was: comments,
 * quoting, order, indentation and line ends.
 *
 * New entries are put *first* in their map or list, right behind the line of the key that holds it: the one place that is
 * certain whatever comments, block scalars or blank lines follow.
 */
import { isMap, isScalar, isSeq, type Pair, type ParsedNode, stringify, type YAMLMap, type YAMLSeq } from 'yaml';

/** Text to take out at an offset, and to put in there. */
export interface Edit {
  readonly offset: number;
  readonly length: number;
  readonly insert: string;
}

/** Carries out edits that do not overlap. Of two at one offset, the earlier in the list comes first. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.offset - b.offset)) {
    result += text.slice(at, edit.offset) + edit.insert;
    at = edit.offset + edit.length;
  }
  return result + text.slice(at);
}

/** The pair of a map that has the key, if it is written there (and not merged in). */
export function pairOf(map: YAMLMap, key: string): Pair<ParsedNode, ParsedNode | null> | undefined {
  // Parsed documents hold parsed nodes only.
  const pairs = map.items as Pair<ParsedNode, ParsedNode | null>[];
  return pairs.find((pair) => isScalar(pair.key) && pair.key.value === key);
}

/**
 * Puts items at the front of the list `key` of the map `holder.value`, which is made if it is not there. Undefined when the
 * text has something there that is no list.
 */
export function prependToList(
  text: string,
  holder: Pair<ParsedNode, ParsedNode | null>,
  key: string,
  items: readonly object[],
): Edit | undefined {
  const map = holder.value;
  if (!isMap(map)) return undefined;
  const pair = pairOf(map, key);
  if (pair === undefined) {
    const entry = { [key]: items };
    return map.flow === true
      ? insertFlow(text, map, entry)
      : insertBehindKey(text, holder, columnOf(text, firstOffset(map)), entry);
  }
  const list = pair.value;
  if (isSeq(list)) {
    return list.flow === true
      ? insertFlow(text, list, items)
      : insertBehindKey(text, pair, columnOf(text, rangeStart(list)), items);
  }
  if (list !== null && !(isScalar(list) && list.value === null)) return undefined;
  // `key:` or `key: null`: the value is replaced by a list in JSON, which is also YAML.
  const [offset, end] = list === null ? [pair.key.range[1] + 1, pair.key.range[1] + 1] : [list.range[0], list.range[1]];
  return { offset, length: end - offset, insert: `${offset === end ? ' ' : ''}${JSON.stringify(items)}` };
}

/** Inserts block text on the line behind the one that the key's colon is on. */
function insertBehindKey(text: string, pair: Pair<ParsedNode, unknown>, column: number, value: object): Edit {
  const lineEnd = text.indexOf('\n', pair.key.range[1]);
  const newline = text[lineEnd - 1] === '\r' ? '\r\n' : '\n';
  const lines = stringify(value, { lineWidth: 0 }).trimEnd().split('\n');
  const insert = lines.map((line) => ' '.repeat(column) + line + newline).join('');
  return { offset: lineEnd + 1, length: 0, insert };
}

/** Inserts the entries of a map or list as JSON behind the opening bracket, laid out as what follows there is. */
function insertFlow(text: string, collection: YAMLMap | YAMLSeq, entries: object): Edit {
  const opening = rangeStart(collection);
  const offset = opening + 1;
  const space = /^\s*/.exec(text.slice(offset))?.[0] ?? '';
  const isEmpty = collection.items.length === 0;
  if (isEmpty || !space.includes('\n')) {
    return { offset, length: 0, insert: JSON.stringify(entries).slice(1, -1) + (isEmpty ? '' : ',') };
  }
  const inner = space.slice(space.lastIndexOf('\n') + 1);
  const outer = /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', opening) + 1))?.[0] ?? '';
  const unit = inner.startsWith(outer) && inner.length > outer.length ? inner.slice(outer.length) : '  ';
  const newline = space.includes('\r\n') ? '\r\n' : '\n';
  // Without the outermost brackets, and one step less deep.
  const lines = JSON.stringify(entries, undefined, unit).split('\n').slice(1, -1);
  const insert = lines.map((line) => newline + inner + line.slice(unit.length)).join('');
  return { offset, length: 0, insert: `${insert},` };
}

function firstOffset(map: YAMLMap): number {
  const [first] = map.items as Pair<ParsedNode, ParsedNode | null>[];
  return first?.key.range[0] ?? rangeStart(map);
}

function rangeStart(node: YAMLMap | YAMLSeq): number {
  // A parsed node has a range.
  return (node.range as readonly [number, number, number])[0];
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}
