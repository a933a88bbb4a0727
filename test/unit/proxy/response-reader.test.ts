import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MEASURE_SLOTS } from '../../../src/inspection/measured-fields.ts';
import { GENERATE_TOKENS, TokenUsage } from '../../../src/inspection/token-usage.ts';
import { Measures } from '../../../src/protobuf/measures.ts';
import { MAX_KEPT_BYTES, ResponseReader } from '../../../src/proxy/response-reader.ts';
import { frame } from '../../fakes/raw-grpc-client.ts';
import { piece } from '../../fakes/vllm-messages.ts';

/** Reads with so many tokens to give. */
function readerOf(room: number): ResponseReader {
  const { response: plan } = GENERATE_TOKENS;
  if (plan === undefined) throw new Error('no plan');
  const measures = new Measures(MEASURE_SLOTS);
  const usage = new TokenUsage('increments');
  const read = () => {
    usage.message(measures);
    return (usage.output ?? 0) > room ? ({ kind: 'draining' } as const) : undefined;
  };
  return new ResponseReader({ plan, measures, read });
}

/** What goes on of these bytes in these pieces, until it is refused. */
function passed(reader: ResponseReader, bytes: Buffer, sizes: readonly number[]): Buffer {
  const out: Buffer[] = [];
  for (let at = 0, n = 0; at < bytes.length && reader.denial === undefined; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    out.push(Buffer.from(reader.pass(Buffer.from(bytes.subarray(at, at + size)))));
    at += size;
  }
  return Buffer.concat(out);
}

describe('a response that is read', () => {
  it('goes on up to the last whole message that is paid for, in whatever pieces it comes', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 }),
        fc.nat(20),
        sizes,
        (tokens, room, cut) => {
          const messages = tokens.map((count) => piece(count));
          let sum = 0;
          const paid = tokens.findIndex((count) => (sum += count) > room);
          const expected = Buffer.concat(paid === -1 ? messages : messages.slice(0, paid));
          const reader = readerOf(room);
          expect(passed(reader, Buffer.concat(messages), cut)).toEqual(expected);
          expect(reader.denial === undefined).toBe(paid === -1);
          expect(reader.kept).toHaveLength(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    [MAX_KEPT_BYTES, 0],
    [MAX_KEPT_BYTES + 1, MAX_KEPT_BYTES + 5],
  ])('keeps a message of %i bytes back: %i of it have gone on before its last', (length, gone) => {
    const reader = readerOf(0);
    const bytes = frame(Buffer.alloc(length, 0x0a));
    expect(passed(reader, bytes.subarray(0, -1), [1_000])).toHaveLength(gone);
  });

  it('goes on as it came where it cannot be read', () => {
    const reader = readerOf(0);
    const bytes = Buffer.concat([frame(Buffer.from([0xff, 0xff, 0xff])), frame(Buffer.from('zipped'), true)]);
    expect(passed(reader, bytes, [4])).toEqual(bytes);
  });

  it('has what there is of a message that does not come to its end', () => {
    const reader = readerOf(9);
    const bytes = Buffer.concat([piece(1), piece(2).subarray(0, 8)]);
    expect(passed(reader, bytes, [3])).toEqual(piece(1));
    expect(reader.kept).toEqual(piece(2).subarray(0, 8));
  });
});
