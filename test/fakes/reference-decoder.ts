/**
 * A protobuf decoder as the specification has it, for whole messages: recursive, confined at every level, unknown and
 * mistyped fields skipped. Slow and simple, to compare the streaming scanner with. Returns the message's strings.
 */
import { type DescMessage, ScalarType } from '@bufbuild/protobuf';

/** String fields of the outermost message by number, last one wins; undefined when the message is not valid. */
export function decodeStrings(type: DescMessage, bytes: Buffer): ReadonlyMap<number, string> | undefined {
  try {
    const strings = new Map<number, string>();
    decodeMessage(type, bytes, strings);
    return strings;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

class Malformed extends Error {}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

function decodeMessage(type: DescMessage, bytes: Buffer, strings: Map<number, string> | undefined): void {
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) {
    const [number, wireType] = readTag(cursor);
    const field = type.fields.find((candidate) => candidate.number === number);
    if (field === undefined || wireType !== 2) {
      skip(cursor, number, wireType, 0);
      continue;
    }
    const payload = readPayload(cursor);
    if (field.fieldKind === 'map') decodeEntry(field.message, payload);
    else if (field.message !== undefined) decodeMessage(field.message, payload, undefined);
    else if (field.scalar === ScalarType.STRING) {
      const text = decodeText(payload);
      strings?.set(number, text);
    } else if (field.fieldKind === 'list' && field.scalar !== ScalarType.BYTES) decodePacked(field.scalar, payload);
  }
}

function decodeEntry(value: DescMessage | undefined, bytes: Buffer): void {
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) {
    const [number, wireType] = readTag(cursor);
    if (wireType !== 2 || number > 2) skip(cursor, number, wireType, 0);
    else if (number === 1) decodeText(readPayload(cursor));
    else if (value === undefined) readPayload(cursor);
    else decodeMessage(value, readPayload(cursor), undefined);
  }
}

function decodePacked(scalar: ScalarType | undefined, bytes: Buffer): void {
  const size = scalar === ScalarType.FLOAT ? 4 : scalar === ScalarType.DOUBLE ? 8 : 0;
  if (size > 0) {
    if (bytes.length % size !== 0) throw new Malformed();
    return;
  }
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) readVarint(cursor, 10);
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed();
  }
}

function readTag(cursor: Cursor): [number, number] {
  const tag = Number(readVarint(cursor, 5) & 0xffff_ffffn);
  if (tag < 8) throw new Malformed();
  return [Math.floor(tag / 8), tag % 8];
}

function readPayload(cursor: Cursor): Buffer {
  return take(cursor, Number(readVarint(cursor, 5)));
}

function take(cursor: Cursor, bytes: number): Buffer {
  if (cursor.at + bytes > cursor.bytes.length) throw new Malformed();
  cursor.at += bytes;
  return cursor.bytes.subarray(cursor.at - bytes, cursor.at);
}

function readVarint(cursor: Cursor, maxBytes: number): bigint {
  let value = 0n;
  for (let i = 0; i < maxBytes; i++) {
    const byte = take(cursor, 1)[0] ?? 0;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return value;
  }
  throw new Malformed();
}

function skip(cursor: Cursor, number: number, wireType: number, depth: number): void {
  if (depth > 100) throw new Malformed();
  if (wireType === 0) readVarint(cursor, 10);
  else if (wireType === 1) take(cursor, 8);
  else if (wireType === 2) readPayload(cursor);
  else if (wireType === 5) take(cursor, 4);
  else if (wireType === 3) skipGroup(cursor, number, depth);
  else throw new Malformed();
}

function skipGroup(cursor: Cursor, group: number, depth: number): void {
  for (;;) {
    const [number, wireType] = readTag(cursor);
    if (wireType !== 4) skip(cursor, number, wireType, depth + 1);
    else if (number === group) return;
    else throw new Malformed();
  }
}
