/**
 * The message inspector as the proxy uses it, on streams of messages that are whole, broken, compressed and cut anywhere.
 *
 * What is held: the verdicts are those of a decoder that has each message whole; no byte that ends a message is let through
 * before its verdict; and whatever comes, it ends in a verdict or a denial, with bounded work.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageInspector } from '../../src/inspection/message-inspector.ts';
import { MethodTable } from '../../src/inspection/method-table.ts';
import type { Denial } from '../../src/kernel/denial.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 20_000);
const LIMITS = { maxMessageBytes: 4_096, maxInflatedBytes: 8_192 };
const entry = new MethodTable([]).find('/inference.GRPCInferenceService/ModelStreamInfer');
if (entry === undefined) throw new Error('ModelStreamInfer is not known');

interface Relayed {
  readonly models: readonly string[];
  readonly ends: readonly number[];
  readonly denial: Denial | undefined;
}

/** Plays the proxy, with a bound on everything that it waits for. */
async function relay(bytes: Buffer, cuts: readonly number[], encoding: 'identity' | 'gzip'): Promise<Relayed> {
  if (entry === undefined) throw new Error('unreachable');
  const inspector = new MessageInspector(entry, encoding, LIMITS);
  const models: string[] = [];
  const ends: number[] = [];
  let start = 0;
  for (const cut of [...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    const chunk = bytes.subarray(start, cut);
    let offset = 0;
    let waits = 0;
    while (offset < chunk.length) {
      const outcome = inspector.scan(chunk, offset);
      if (outcome === 'reject') {
        inspector.close();
        return { models, ends, denial: inspector.denial };
      }
      if (outcome === 'more') break;
      if (outcome === 'message') {
        models.push(inspector.model);
        expect(inspector.end).toBeGreaterThan(offset);
        expect(inspector.end).toBeLessThanOrEqual(chunk.length);
        ends.push(start + inspector.end);
        offset = inspector.end;
        continue;
      }
      expect(++waits).toBeLessThan(100);
      await inspector.ready;
    }
    start = cut;
  }
  const denial = inspector.finish();
  inspector.close();
  return { models, ends, denial };
}

const model = fc.stringMatching(/^[a-z0-9-]{0,12}$/);
const message = fc.tuple(model, fc.uint8Array({ maxLength: 60 }), fc.boolean()).map(([name, payload, again]) => ({
  name,
  bytes: Buffer.from(
    new BinaryWriter()
      .tag(1, 2)
      .string(again ? 'overwritten' : name)
      .tag(7, 2)
      .bytes(payload)
      .tag(1, 2)
      .string(name)
      .finish(),
  ),
}));
const cuts = fc.array(fc.nat(2_000), { maxLength: 6 });

describe('the inspector', () => {
  it('gives each message its own verdict at its own end, wherever the stream is cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 5 }), cuts, async (messages, at) => {
        const framed = messages.map(({ bytes }) => frame(bytes, 0));
        const seen = await relay(Buffer.concat(framed), at, 'identity');
        expect(seen.denial).toBeUndefined();
        expect(seen.models).toEqual(messages.map(({ name }) => name));
        let end = 0;
        expect(seen.ends).toEqual(framed.map(({ length }) => (end += length)));
      }),
      { numRuns: RUNS },
    );
  });

  it('does so for compressed messages among plain ones', async () => {
    const mixed = fc.array(fc.tuple(message, fc.boolean()), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(mixed, cuts, async (messages, at) => {
        const framed = messages.map(([{ bytes }, zip]) => (zip ? frame(gzipSync(bytes), 1) : frame(bytes, 0)));
        const seen = await relay(Buffer.concat(framed), at, 'gzip');
        expect(seen.denial).toBeUndefined();
        expect(seen.models).toEqual(messages.map(([{ name }]) => name));
      }),
      { numRuns: RUNS / 10 },
    );
  });

  it('accepts of mutated gzip only what inflates to what it read', async () => {
    const mutation = fc.record({
      at: fc.nat(),
      bits: fc.nat(255),
      cut: fc.nat(40),
      tail: fc.uint8Array({ maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(message, mutation, cuts, async ({ bytes }, { at: position, bits, cut, tail }, at) => {
        const zipped = gzipSync(bytes);
        const place = position % zipped.length;
        zipped[place] = (zipped[place] ?? 0) ^ bits;
        const mutated = Buffer.concat([cut < 30 ? zipped : zipped.subarray(0, zipped.length + 29 - cut), tail]);
        const seen = await relay(frame(mutated, 1), at, 'gzip');
        if (seen.denial === undefined) {
          expect(tail).toHaveLength(0);
          const plain = await relay(frame(gunzipSync(mutated), 0), [], 'identity');
          expect(seen.models).toEqual(plain.models);
        }
      }),
      { numRuns: RUNS / 10 },
    );
  });

  it('ends in a verdict or a denial on random bytes, the same however they are cut', async () => {
    const bytes = fc
      .tuple(fc.constantFrom(0, 0, 0, 1, 2), fc.nat(40), fc.uint8Array({ maxLength: 60 }))
      .map(([flag, length, body]) => Buffer.from([flag, 0, 0, 0, length, ...body]));
    await fc.assert(
      fc.asyncProperty(bytes, cuts, async (stream, at) => {
        const seen = await relay(stream, at, 'identity');
        expect(seen).toEqual(await relay(stream, [], 'identity'));
        // Only a stream of whole messages goes through.
        if (seen.denial === undefined) expect(seen.ends.at(-1) ?? 0).toBe(stream.length);
      }),
      { numRuns: RUNS },
    );
  });
});

function frame(bytes: Buffer, flag: number): Buffer {
  const framed = Buffer.alloc(5 + bytes.length);
  framed[0] = flag;
  framed.writeUInt32BE(bytes.length, 1);
  bytes.copy(framed, 5);
  return framed;
}
