/**
 * One YAML file: its value, and the line and column of every part of it.
 *
 * A text that is plain is read by ours (`plain-yaml.ts`), any other, and any that is wrong, by the library, which is many times as slow.
 * Only the text is kept; the tree with the positions is rebuilt when a position is asked for after it was dropped, which
 * happens once for a file with something to say and never for the ten thousand others.
 */
import { type Document, isMap, isNode, isPair, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';
import { type Finding, formatPath, MAX_FINDINGS_PER_FILE, type Place, type ValuePath } from './finding.ts';
import { hasKey, offsetIn, type PlainYaml, readPlainYaml } from './plain-yaml.ts';

/** Aliases may repeat parts of the file up to so many times in all: more is an expansion attack, not a configuration. */
const MAX_ALIASES = 100;

/** The library's check for keys that stand twice compares each with each; ours does not. */
const PARSING = { prettyErrors: false, version: '1.2', uniqueKeys: false } as const;

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where everything stands. */
interface Tree {
  /** Undefined: nothing of the path is there. */
  offsetOf(place: Place): number | undefined;
  has(key: string): boolean;
  readonly lines: LineCounter;
}

/** `any` reads what is plain faster; what comes of it is the same. */
export type YamlReader = 'any' | 'library';

export class YamlDocument {
  /** As findings name it. */
  readonly file: string;
  readonly text: string;
  readonly #reader: YamlReader;
  #tree: Tree | undefined;

  constructor(file: string, text: string, reader: YamlReader = 'any') {
    this.file = file;
    this.text = text;
    this.#reader = reader;
  }

  /** The plain value of the document, or what the syntax has wrong. */
  read(): { readonly value: unknown; readonly findings: readonly Finding[] } {
    const plain = this.#readPlain();
    if (plain === undefined) return this.#readByLibrary();
    this.#tree = plainTree(plain, this.text);
    return { value: plain.value, findings: [] };
  }

  #readPlain(): PlainYaml | undefined {
    return this.#reader === 'any' ? readPlainYaml(this.text) : undefined;
  }

  #readByLibrary(): { readonly value: unknown; readonly findings: readonly Finding[] } {
    const lines = new LineCounter();
    const documents = parseAllDocuments(this.text, { ...PARSING, lineCounter: lines });
    const first = documents[0];
    if (first === undefined || ('empty' in documents && documents.empty)) {
      return { value: undefined, findings: [this.#whole('the file is empty', 'write the settings into it')] };
    }
    this.#tree = parsedTree(first, lines);
    const findings = [...first.errors, ...first.warnings]
      .slice(0, MAX_FINDINGS_PER_FILE)
      .map((problem) => this.#at(lines.linePos(problem.pos[0]), '', problem.message, 'correct the YAML at this place'));
    const second = documents[1];
    if (second !== undefined) {
      const position = lines.linePos(second.range[0]);
      findings.push(
        this.#at(position, '', 'a second document begins here', 'keep one document a file: remove what follows `---`'),
      );
    }
    if (findings.length > 0) return { value: undefined, findings };
    const oddities = this.#oddities(first, lines);
    try {
      return { value: first.toJS({ maxAliasCount: MAX_ALIASES }), findings: oddities };
    } catch (cause) {
      if (oddities.length > 0) return { value: undefined, findings: oddities };
      const message = cause instanceof Error ? cause.message : String(cause);
      return { value: undefined, findings: [this.#whole(message, `use at most ${MAX_ALIASES} aliases in the file`)] };
    }
  }

  /** Makes a finding at a place of this document; a part that is missing stands where its parent does. */
  finding(place: Place, message: string, fix: string, severity: Finding['severity'] = 'error'): Finding {
    const position = this.position(place);
    return { file: this.file, ...position, path: formatPath(place.path), message, fix, severity };
  }

  /** Line and column of a place, from 1. */
  position(place: Place): Position {
    const tree = this.#tree ?? this.#parse();
    const offset = tree.offsetOf(place);
    if (offset === undefined) return { line: 1, column: 1 };
    const { line, col } = tree.lines.linePos(offset);
    return { line, column: col };
  }

  /** Whether the mapping at the top has this key. */
  has(key: string): boolean {
    return (this.#tree ?? this.#parse()).has(key);
  }

  /** Lets go of the tree, which weighs many times the text. */
  release(): void {
    this.#tree = undefined;
  }

  #parse(): Tree {
    const plain = this.#readPlain();
    this.#tree = plain === undefined ? this.#parseByLibrary() : plainTree(plain, this.text);
    return this.#tree;
  }

  #parseByLibrary(): Tree {
    const lines = new LineCounter();
    const documents = parseAllDocuments(this.text, { ...PARSING, lineCounter: lines });
    const document = documents[0];
    if (document === undefined) throw new Error(`${this.file} has no document to find a position in`);
    return parsedTree(document, lines);
  }

  /**
   * YAML that means something else than it looks like: keys that stand twice or are not plain text (`? [a, b]`, `1:`,
   * `__proto__`), aliases of nothing, and numbers that are not read back as written (`1.10`, `0x10`, `1e3`).
   */
  #oddities(document: Document.Parsed, lines: LineCounter): readonly Finding[] {
    const findings: Finding[] = [];
    const report = (node: unknown, message: string, fix: string): void => {
      if (findings.length >= MAX_FINDINGS_PER_FILE) return;
      const position = lines.linePos(isNode(node) ? (node.range?.[0] ?? 0) : 0);
      findings.push(this.#at(position, '', message, fix));
    };
    visit(document, {
      Map: (_, map) => {
        const seen = new Set<unknown>();
        for (const { key } of map.items) {
          const name = keyOf(key);
          if (seen.has(name)) report(key, `${String(name)} stands twice in this mapping`, 'remove one of the two');
          seen.add(name);
        }
      },
      Pair: (_, pair) => {
        const key: unknown = isNode(pair.key) ? pair.key.toJS(document) : pair.key;
        if (typeof key === 'string' && key !== '__proto__') return;
        report(pair.key, `${JSON.stringify(key)} is no key`, 'write a name as the key');
      },
      Alias: (_, alias) => {
        if (alias.resolve(document) !== undefined) return;
        report(
          alias,
          `*${alias.source} names no anchor before it`,
          `write &${alias.source} before the value that is meant`,
        );
      },
      Scalar: (_, scalar) => {
        if (typeof scalar.value !== 'number' || scalar.source === String(scalar.value)) return;
        const written = scalar.source ?? '';
        report(
          scalar,
          `${written} is read as the number ${scalar.value}`,
          `write ${scalar.value}, or "${written}" in quotes`,
        );
      },
    });
    return findings;
  }

  #at(position: { line: number; col: number }, path: string, message: string, fix: string): Finding {
    return { file: this.file, line: position.line, column: position.col, path, message, fix, severity: 'error' };
  }

  #whole(message: string, fix: string): Finding {
    return { file: this.file, line: 0, column: 0, path: '', message, fix, severity: 'error' };
  }
}

function parsedTree({ contents }: Document.Parsed, lines: LineCounter): Tree {
  return {
    offsetOf: (place) => offsetOf(contents, place),
    has: (key) => isMap(contents) && contents.has(key),
    lines,
  };
}

function plainTree({ spot }: PlainYaml, text: string): Tree {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1);
  return { offsetOf: ({ path, at }) => offsetIn(spot, path, at), has: (key) => hasKey(spot, key), lines };
}

/** Walks as far along the path as the document goes. */
function offsetOf(contents: unknown, place: Place): number | undefined {
  let node: unknown = contents;
  let offset = startOf(node);
  const path: ValuePath = place.path;
  for (const [index, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && keyOf(item.key) === step);
      if (pair === undefined) return offset;
      const last = index === path.length - 1;
      node = pair.value;
      offset = (last && place.at === 'key' ? startOf(pair.key) : (startOf(node) ?? startOf(pair.key))) ?? offset;
    } else if (isNode(node) && 'items' in node && Array.isArray(node.items) && typeof step === 'number') {
      node = node.items[step];
      if (node === undefined) return offset;
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node satisfies Node).range?.[0] : undefined;
}

function keyOf(key: unknown): unknown {
  return typeof key === 'object' && key !== null && 'value' in key ? key.value : key;
}
