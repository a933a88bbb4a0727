/**
 * The part of CEL that conditions may use, and what is wrong with an expression that goes beyond it.
 *
 * Whatever is in it costs no more than its own length, and whatever its lists hold: no regular expressions (V8's backtrack), nothing that
 * makes text or lists longer and longer (`map`, `filter`, `cel.bind`), `exists` and `all` one deep. An expression that passes is written anew: with
 * zones, points in time and durations that are read once instead of at every evaluation.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import {
  type Attribute,
  CALL_ATTRIBUTES,
  CALLER_ATTRIBUTES,
  type ClaimType,
  type Declared,
  type Dependence,
} from './attributes.ts';
import { KNOWN } from './known-values.ts';
import { TIME_PARTS, TimeZone } from './time-zones.ts';

/** What is wrong with an expression, and where in it. */
export interface Flaw {
  readonly message: string;
  readonly fix: string;
  /** Offset in the expression. */
  readonly at: number;
}

/** What an expression that may be used is made of. */
export interface Reading {
  /** As it is run. */
  readonly text: string;
  readonly dependsOn: ReadonlySet<Dependence>;
  /** The attributes that it reads, as they are written: `claims.groups`. */
  readonly attributes: ReadonlySet<string>;
  /** Header names that it asks for. */
  readonly metadata: ReadonlySet<string>;
}

type Type = 'string' | 'strings' | 'bool' | 'int' | 'timestamp' | 'duration' | 'metadata';

interface Piece {
  readonly text: string;
  readonly type: Type;
}

/** Thrown within this file, and caught where the walk began: an expression is a tree, and its first flaw ends the walk. */
class FlawFound extends Error {
  readonly flaw: Flaw;

  constructor(flaw: Flaw) {
    super(flaw.message);
    this.flaw = flaw;
  }
}

/** Reads an expression that has been parsed. */
export function readExpression(ast: ASTNode, declared: Declared): Reading | Flaw {
  const walk = new Walk(declared);
  try {
    const { text } = walk.piece(ast);
    return { text, dependsOn: walk.dependsOn, attributes: walk.attributes, metadata: walk.metadata };
  } catch (cause) {
    if (cause instanceof FlawFound) return cause.flaw;
    throw cause;
  }
}

const TEXT_TESTS: ReadonlySet<string> = new Set(['startsWith', 'endsWith', 'contains']);
const QUANTIFIERS: ReadonlySet<string> = new Set(['exists', 'all', 'exists_one']);
const ORDERED: ReadonlySet<Type> = new Set(['int', 'timestamp', 'duration']);

class Walk {
  readonly dependsOn = new Set<Dependence>();
  readonly attributes = new Set<string>();
  readonly metadata = new Set<string>();
  readonly #declared: Declared;
  /** The name that stands for a list's member, within `exists` and its kin. */
  #member: string | undefined;

  constructor(declared: Declared) {
    this.#declared = declared;
  }

  piece(node: ASTNode): Piece {
    switch (node.op) {
      case 'value':
        return literal(node);
      case 'id':
        if (node.args === this.#member) return { text: node.args, type: 'string' };
        return fail(node, ...this.#strayName(node.args));
      case '.':
        return this.#attribute(node);
      case '[]':
        return this.#header(node, node.args[0], node.args[1]);
      case 'list':
        return this.#list(node, node.args);
      case 'call':
        return this.#function(node, node.args[0], node.args[1]);
      case 'rcall':
        return this.#method(node, ...node.args);
      case '?:':
        return this.#choice(...node.args);
      case '&&':
      case '||':
        return this.#joined(node.op, node.args, 'bool');
      case '!_':
        return { text: `!(${this.piece(node.args).text})`, type: 'bool' };
      case '-_':
        return { text: `-(${this.piece(node.args).text})`, type: 'int' };
      case 'in':
        return this.#membership(node, ...node.args);
      case '==':
      case '!=':
        return this.#joined(node.op, node.args, 'bool');
      case '<':
      case '<=':
      case '>':
      case '>=':
        return this.#ordered(node, node.op, node.args);
      case '+':
      case '-':
        return this.#sum(node, node.op, node.args);
      default:
        return fail(
          node,
          `${OPERATOR_NAMES[node.op] ?? node.op} is not for conditions`,
          'compare attributes with values',
        );
    }
  }

  #strayName(name: string): [string, string] {
    if (name === 'caller' || name === 'call' || name === 'claims') {
      return [
        `${name} alone is no value`,
        `name one of its attributes: ${this.#namesOf(name).slice(0, 3).join(', ')}, …`,
      ];
    }
    const fix = 'write caller.…, call.… or claims.…; text stands in quotes';
    return [`there is no ${name}`, fix];
  }

  #namesOf(group: 'caller' | 'call' | 'claims'): readonly string[] {
    const names = group === 'claims' ? this.#declared.claims : group === 'caller' ? CALLER_ATTRIBUTES : CALL_ATTRIBUTES;
    return Object.keys(names).map((name) => `${group}.${name}`);
  }

  #attribute(node: Extract<ASTNode, { op: '.' }>): Piece {
    const [left, name] = node.args;
    if (left.op !== 'id' || left.args === this.#member) {
      this.piece(left);
      return fail(node, `there is no .${name} of that`, 'attributes are caller.…, call.… and claims.…');
    }
    const group = left.args;
    if (group !== 'caller' && group !== 'call' && group !== 'claims') {
      return fail(left, ...this.#strayName(group));
    }
    const path = `${group}.${name}`;
    const found = this.#find(group, name);
    if (found === undefined) {
      const declare = group === 'claims' ? ', or declare it under claims in the tenant’s file' : '';
      const known = this.#namesOf(group);
      const all = known.length === 0 ? 'no claims are declared' : `there are: ${known.join(', ')}`;
      return fail(node, `there is no ${path}`, `${all}${declare}`);
    }
    this.dependsOn.add(found.dependsOn);
    this.attributes.add(path);
    return { text: path, type: found.type === 'texts by name' ? 'metadata' : found.type };
  }

  #find(
    group: 'caller' | 'call' | 'claims',
    name: string,
  ): Pick<Attribute, 'type' | 'dependsOn' | 'optional'> | undefined {
    if (group === 'claims') {
      const type = own<ClaimType>(this.#declared.claims, name);
      return type === undefined ? undefined : { type, dependsOn: 'caller', optional: true };
    }
    return own(group === 'caller' ? CALLER_ATTRIBUTES : CALL_ATTRIBUTES, name);
  }

  /** `call.metadata["x-name"]`, and nothing else with brackets. */
  #header(node: ASTNode, left: ASTNode, index: ASTNode): Piece {
    const base = this.piece(left);
    if (base.type !== 'metadata') {
      return fail(node, 'only call.metadata has members by name', 'write "value" in list, or list.exists(x, …)');
    }
    return { text: `call.metadata[${this.#headerName(index)}]`, type: 'string' };
  }

  /** Headers are named in the tenant's file, so that no condition can look at a credential. */
  #headerName(node: ASTNode): string {
    const name = node.op === 'value' ? node.args : undefined;
    if (typeof name !== 'string') return fail(node, 'names no header', 'write its name in quotes');
    if (!this.#declared.metadata.includes(name)) {
      const known = this.#declared.metadata;
      const fix = known.length === 0 ? '' : `declared are: ${known.join(', ')}; else `;
      return fail(
        node,
        `the header ${name} is not declared`,
        `${fix}add it to metadata in the tenant’s file, in lower case`,
      );
    }
    this.metadata.add(name);
    return JSON.stringify(name);
  }

  #list(node: ASTNode, members: readonly ASTNode[]): Piece {
    if (members.length === 0) return fail(node, 'is an empty list', 'name at least one value');
    const pieces = members.map((member) => {
      if (member.op !== 'value') return fail(member, 'is no value that is written out', 'lists are of text or numbers');
      return literal(member);
    });
    return { text: `[${pieces.map(({ text }) => text).join(', ')}]`, type: 'strings' };
  }

  #function(node: ASTNode, name: string, args: readonly ASTNode[]): Piece {
    const [first, second] = args;
    if (first === undefined || second !== undefined) return this.#unknownFunction(node, name);
    switch (name) {
      case 'has':
        return this.#presence(node, first);
      case 'size':
        return { text: `size(${this.#sized(first).text})`, type: 'int' };
      case 'timestamp':
      case 'duration':
        if (first.op !== 'value' || typeof first.args !== 'string') {
          return fail(first, `${name}() takes text that is written out`, EXAMPLES[name]);
        }
        if (KNOWN[name].read(first.args) === undefined) return fail(first, `is no ${name}`, EXAMPLES[name]);
        return { text: `known_${name}(${JSON.stringify(first.args)})`, type: name };
      default:
        return this.#unknownFunction(node, name);
    }
  }

  #unknownFunction(node: ASTNode, name: string): Piece {
    return fail(
      node,
      `there is no function ${name} of so many arguments`,
      'there are has, size, timestamp and duration, each of one',
    );
  }

  #presence(node: ASTNode, of: ASTNode): Piece {
    if (of.op !== '.')
      return fail(node, 'has() takes an attribute', 'write has(claims.name), or "x-name" in call.metadata');
    const { text, type } = this.#attribute(of);
    if (type === 'metadata') return fail(node, 'call.metadata is always there', 'write "x-name" in call.metadata');
    const [group = '', name = ''] = text.split('.');
    const optional =
      group === 'claims' || (group === 'call' ? CALL_ATTRIBUTES : CALLER_ATTRIBUTES)[name]?.optional === true;
    if (!optional)
      return fail(node, `${text} is always there, and empty where there is none`, `compare it: size(${text}) > 0`);
    return { text: `has(${text})`, type: 'bool' };
  }

  #sized(node: ASTNode): Piece {
    const piece = this.piece(node);
    return piece.type === 'metadata'
      ? fail(node, 'call.metadata has no size', 'ask for its headers one by one')
      : piece;
  }

  #method(node: ASTNode, name: string, receiver: ASTNode, args: readonly ASTNode[]): Piece {
    if (receiver.op === 'id' && receiver.args === 'cel') return fail(node, `there is no cel.${name}`, 'write it out');
    const on = this.#sized(receiver);
    const [first, second] = args;
    if (TEXT_TESTS.has(name) && first !== undefined && second === undefined) {
      return { text: `${on.text}.${name}(${this.piece(first).text})`, type: 'bool' };
    }
    if (name === 'size' && first === undefined) return { text: `size(${on.text})`, type: 'int' };
    if (QUANTIFIERS.has(name) && first !== undefined && second !== undefined && args.length === 2) {
      return this.#quantified(node, name, on, receiver, first, second);
    }
    if (Object.hasOwn(TIME_PARTS, name) && second === undefined) return this.#timePart(node, name, on, first);
    if (name === 'matches') {
      const fix = 'write startsWith, endsWith, contains or in [a, b]';
      return fail(node, 'there are no regular expressions in conditions, as some take very long', fix);
    }
    const fix = `there are ${[...TEXT_TESTS, 'size', ...QUANTIFIERS, ...Object.keys(TIME_PARTS)].join(', ')}`;
    return fail(node, `there is no ${name} of so many arguments`, fix);
  }

  #quantified(node: ASTNode, name: string, on: Piece, receiver: ASTNode, variable: ASTNode, test: ASTNode): Piece {
    if (receiver.op !== '.' || on.type !== 'strings') {
      return fail(
        receiver,
        `${name} is for lists that attributes have`,
        'write it of caller.scopes, caller.amr or a claim',
      );
    }
    if (this.#member !== undefined)
      return fail(node, `${name} stands within another`, 'write the two beside each other');
    if (variable.op !== 'id') return fail(variable, 'is no name for a member', `write ${name}(x, …)`);
    const member = variable.args;
    if (['caller', 'call', 'claims', 'cel'].includes(member) || member.startsWith('known_')) {
      return fail(variable, `${member} is taken`, `write ${name}(x, …)`);
    }
    this.#member = member;
    const body = this.piece(test);
    this.#member = undefined;
    return { text: `${on.text}.${name}(${member}, ${body.text})`, type: 'bool' };
  }

  #timePart(node: ASTNode, name: string, on: Piece, zone: ASTNode | undefined): Piece {
    if (on.type !== 'timestamp') return fail(node, `${name} is of a point in time`, `write call.time.${name}()`);
    if (zone === undefined) return { text: `known_${name}(${on.text}, "UTC")`, type: 'int' };
    const named = zone.op === 'value' ? zone.args : undefined;
    if (typeof named !== 'string' || TimeZone.named(named) === undefined) {
      return fail(zone, 'is no time zone', 'write one of the IANA database, such as "Europe/Berlin"');
    }
    return { text: `known_${name}(${on.text}, ${JSON.stringify(named)})`, type: 'int' };
  }

  #choice(condition: ASTNode, yes: ASTNode, no: ASTNode): Piece {
    const pieces = [condition, yes, no].map((node) => this.piece(node));
    const [test, left, right] = pieces.map(({ text }) => text);
    return { text: `(${test ?? ''} ? ${left ?? ''} : ${right ?? ''})`, type: pieces[1]?.type ?? 'bool' };
  }

  #joined(op: string, [left, right]: readonly [ASTNode, ASTNode], type: Type): Piece {
    return { text: `(${this.#sized(left).text} ${op} ${this.#sized(right).text})`, type };
  }

  #membership(node: ASTNode, value: ASTNode, list: ASTNode): Piece {
    const within = this.piece(list);
    if (within.type === 'metadata') return { text: `(${this.#headerName(value)} in call.metadata)`, type: 'bool' };
    if (within.type !== 'strings') return fail(list, 'is no list', 'write x in [a, b], or x in a claim that is a list');
    if (value.op === 'list') return fail(node, 'asks for a list in a list', 'ask for each value by itself');
    return { text: `(${this.piece(value).text} in ${within.text})`, type: 'bool' };
  }

  #ordered(node: ASTNode, op: string, pair: readonly [ASTNode, ASTNode]): Piece {
    for (const side of pair) {
      const { type } = this.#sized(side);
      if (!ORDERED.has(type))
        return fail(node, `${type === 'bool' ? 'truth' : 'text'} has no order here`, 'compare it by == or !=');
    }
    return this.#joined(op, pair, 'bool');
  }

  /** Only what cannot grow: of text, nothing is made. */
  #sum(node: ASTNode, op: '+' | '-', [left, right]: readonly [ASTNode, ASTNode]): Piece {
    const one = this.#sized(left);
    const two = this.#sized(right);
    const type = SUMS[`${one.type} ${op} ${two.type}`];
    if (type === undefined) {
      const fix = 'there are: time - time, time ± duration, and sums of whole numbers';
      return fail(node, `${op} is not for these`, fix);
    }
    return { text: `(${one.text} ${op} ${two.text})`, type };
  }
}

const SUMS: Readonly<Record<string, Type | undefined>> = {
  'timestamp - timestamp': 'duration',
  'timestamp - duration': 'timestamp',
  'timestamp + duration': 'timestamp',
  'duration + timestamp': 'timestamp',
  'int + int': 'int',
  'int - int': 'int',
};

const EXAMPLES = {
  timestamp: 'write timestamp("2030-01-31T00:00:00Z")',
  duration: 'write duration("90m")',
} as const;

const OPERATOR_NAMES: Readonly<Record<string, string>> = {
  map: 'a map',
  '.?': 'optional access',
  '[?]': 'optional access',
};

function literal(node: Extract<ASTNode, { op: 'value' }>): Piece {
  const { args } = node;
  switch (typeof args) {
    case 'string':
      return { text: JSON.stringify(args), type: 'string' };
    case 'boolean':
      return { text: String(args), type: 'bool' };
    case 'bigint':
      // CEL's int has 64 bits; a literal beyond would be none that anything is compared with.
      if (BigInt.asIntN(64, args) !== args) return fail(node, 'is too large a number', 'write one of 64 bits');
      return { text: String(args), type: 'int' };
    default:
      return fail(node, 'is no text, whole number, true or false', 'write one of these');
  }
}

function fail(node: ASTNode, message: string, fix: string): never {
  throw new FlawFound({ message, fix, at: node.start });
}

/** Own members only: an object has `constructor`, and no attribute is called so. */
function own<T>(object: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
