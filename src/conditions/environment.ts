/**
 * What an expression is checked and run in: the attributes with their types, and the functions that the subset writes.
 */
import { Environment } from '@marcbachmann/cel-js';
import {
  type Attribute,
  type AttributeType,
  CALL_ATTRIBUTES,
  CALLER_ATTRIBUTES,
  CallAttributes,
  CallerAttributes,
  type Declared,
} from './attributes.ts';
import { KNOWN, timestampOf } from './known-values.ts';
import { type Parts, TIME_PARTS, TimeZone } from './time-zones.ts';

/** Names, values and operators of an expression: what it costs at most, times the members of the list that it goes through. */
export const MAX_CONDITION_NODES = 128;
/** Parentheses, operators and calls within each other. */
export const MAX_CONDITION_DEPTH = 24;

/** A zone is added to parts of a time, and parentheses everywhere. */
export const RUNNING_LIMITS = { maxAstNodes: 4 * MAX_CONDITION_NODES, maxDepth: 8 * MAX_CONDITION_DEPTH } as const;

const CEL_TYPES: Readonly<Record<AttributeType, string>> = {
  string: 'string',
  strings: 'list<string>',
  bool: 'bool',
  int: 'int',
  timestamp: 'google.protobuf.Timestamp',
  'texts by name': 'map<string, string>',
};

/** Makes the environment of tenants that declare this. `claims` is the class of their claims: CEL knows a value’s type by its constructor. */
export function environmentOf(declared: Declared, claims: new () => object): Environment {
  const fields = (attributes: Readonly<Record<string, Pick<Attribute, 'type'>>>): Record<string, string> =>
    Object.fromEntries(Object.entries(attributes).map(([name, { type }]) => [name, CEL_TYPES[type]]));
  const ofClaims = Object.fromEntries(Object.entries(declared.claims).map(([name, type]) => [name, CEL_TYPES[type]]));
  const environment = new Environment({
    limits: {
      maxAstNodes: MAX_CONDITION_NODES,
      maxDepth: MAX_CONDITION_DEPTH,
      maxListElements: MAX_CONDITION_NODES,
      maxMapEntries: 1,
      maxCallArguments: 4,
    },
  })
    .registerType('Caller', { ctor: CallerAttributes, fields: fields(CALLER_ATTRIBUTES) })
    .registerType('Call', { ctor: CallAttributes, fields: fields(CALL_ATTRIBUTES) })
    .registerType('Claims', { ctor: claims, fields: ofClaims })
    .registerVariable('caller', 'Caller')
    .registerVariable('call', 'Call')
    .registerVariable('claims', 'Claims');
  registerKnown(environment);
  return environment;
}

const SYNCHRONOUS = { async: false } as const;

/** What is read once, and then known: points in time, durations, and the clocks of zones. */
function registerKnown(environment: Environment): void {
  const { timestamp, duration } = KNOWN;
  for (const [name, type, known] of [
    ['known_timestamp', 'google.protobuf.Timestamp', timestamp],
    ['known_duration', 'google.protobuf.Duration', duration],
  ] as const) {
    environment.registerFunction(`${name}(string): ${type}`, (text: string) => known.read(text), SYNCHRONOUS);
  }
  const zones = new Map<string, TimeZone>();
  for (const [name, part] of Object.entries(TIME_PARTS)) {
    environment.registerFunction(
      `known_${name}(google.protobuf.Timestamp, string): int`,
      (time: Parts & { getTime(): number }, zone: string): bigint => {
        if (zone === 'UTC') return BigInt(part(time));
        let clock = zones.get(zone);
        if (clock === undefined) {
          clock = TimeZone.named(zone);
          if (clock === undefined) throw new RangeError(`there is no time zone ${zone}`);
          zones.set(zone, clock);
        }
        return BigInt(part(localParts(clock.local(time.getTime()))));
      },
      SYNCHRONOUS,
    );
  }
}

let scratch: object | undefined;

function localParts(ms: number): Parts {
  scratch = timestampOf(ms * 1000, scratch);
  // `timestampOf` makes Dates, which have all of these.
  return scratch as Parts;
}
