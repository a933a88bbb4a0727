/**
 * OTLP attributes (`KeyValue`) as bytes. The key's bytes are made once; a value is copied from the audit record.
 */
import { OtlpBytes, varintBytes } from './otlp-bytes.ts';

/** Field numbers of attributes in the messages that we write. */
export const ATTRIBUTES_OF = { resource: 1, span: 9, spanEvent: 3, link: 4, log: 6 } as const;

/** A key, ready to be written: `KeyValue.key` with its tag and length. */
export class AttributeKey {
  readonly bytes: Buffer;

  constructor(name: string) {
    const out = new OtlpBytes(name.length * 3 + 16);
    out.stringField(1, name);
    this.bytes = Buffer.from(out.view(0, out.length));
  }
}

/** Most bytes that an attribute takes beside its key and text. */
const FRAMING_BYTES = 24;

/** An attribute whose text lies elsewhere as UTF-8. Left out when the text is empty. */
export function textAttribute(
  out: OtlpBytes,
  field: number,
  key: AttributeKey,
  source: Buffer,
  start: number,
  end: number,
): void {
  const length = end - start;
  if (length === 0) return;
  out.reserve(key.bytes.length + length + FRAMING_BYTES);
  // AnyValue.string_value = 1 in KeyValue.value = 2.
  const value = 1 + varintBytes(length) + length;
  out.tag(field, 2);
  out.varint(key.bytes.length + 1 + varintBytes(value) + value);
  out.block(key.bytes);
  out.tag(2, 2);
  out.varint(value);
  out.bytesField(1, source, start, end);
}

/** An attribute with a text that is a string already: for what is made once. Left out when it is empty. */
export function stringAttribute(out: OtlpBytes, field: number, key: AttributeKey, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  textAttribute(out, field, key, bytes, 0, bytes.length);
}

/** An integer attribute. */
export function integerAttribute(out: OtlpBytes, field: number, key: AttributeKey, value: number): void {
  out.reserve(key.bytes.length + FRAMING_BYTES);
  // AnyValue.int_value = 3.
  const any = 1 + varintBytes(value);
  out.tag(field, 2);
  out.varint(key.bytes.length + 2 + any);
  out.block(key.bytes);
  out.tag(2, 2);
  out.varint(any);
  out.integer(3, value);
}

/** A boolean attribute. */
export function booleanAttribute(out: OtlpBytes, field: number, key: AttributeKey, value: boolean): void {
  out.reserve(key.bytes.length + FRAMING_BYTES);
  out.tag(field, 2);
  out.varint(key.bytes.length + 4);
  out.block(key.bytes);
  out.tag(2, 2);
  out.varint(2);
  out.integer(2, value ? 1 : 0);
}

/** Bytes made once by `write`, to be copied as a block from then on. */
export function blockOf(write: (out: OtlpBytes) => void): Buffer {
  const out = new OtlpBytes(1024);
  write(out);
  return Buffer.from(out.view(0, out.length));
}
