/** Properties of the HTTP/2 engine over generated input: codecs invert each other, pieces do not matter, garbage only closes. */
import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Http2Connection } from '../../src/http2/connection.ts';
import { Flag, FrameType, PREFACE } from '../../src/http2/frame.ts';
import { FrameReader, type FrameSink } from '../../src/http2/frame-reader.ts';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { decodeHuffman, encodeHuffman, huffmanLength, maxDecodedLength } from '../../src/http2/huffman.ts';
import { SendQueue } from '../../src/http2/send-queue.ts';
import { parseSettings, putSettings, type Settings } from '../../src/http2/settings.ts';
import { buffers, echo, options, REQUEST, turn } from '../unit/http2/loopback.ts';
import { encode, frame, SETTINGS, SETTINGS_ACK, word } from '../unit/http2/raw-peer.ts';
import { RecordingConnectionOwner, RecordingStreamOwner } from '../unit/http2/recording-owner.ts';
import { plausible, someFrame } from './frame-sequences.ts';

/** How often the short run tries, or that share of FUZZ_RUNS with a seed of its own, which a failure prints. */
const LONG_RUNS = Number(process.env['FUZZ_RUNS'] ?? 0);
const runs = (numRuns: number): { numRuns: number; seed?: number } =>
  LONG_RUNS > 0 ? { numRuns: Math.ceil((LONG_RUNS * numRuns) / 20_000) } : { numRuns, seed: 20_261_119 };
const latin1 = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const GENEROUS = { maxHeaderListBytes: 10_000_000, maxHeaderFields: 10_000 };

describe('Huffman strings', () => {
  test('decode to what was encoded, in the length that was foretold', () => {
    fc.assert(
      fc.property(latin1, (text) => {
        const coded = Buffer.alloc(huffmanLength(text));
        expect(encodeHuffman(text, coded, 0)).toBe(coded.length);
        const decoded = Buffer.alloc(maxDecodedLength(coded.length));
        const length = decodeHuffman(coded, 0, coded.length, decoded);
        expect(decoded.toString('latin1', 0, length)).toBe(text);
      }),
      runs(3_000),
    );
  });

  test('that are accepted are the only encoding of their text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const decoded = Buffer.alloc(maxDecodedLength(bytes.length));
        const length = decodeHuffman(bytes, 0, bytes.length, decoded);
        if (length < 0) return;
        const text = decoded.toString('latin1', 0, length);
        const again = Buffer.alloc(huffmanLength(text));
        encodeHuffman(text, again, 0);
        expect(again.equals(bytes)).toBe(true);
      }),
      runs(20_000),
    );
  });
});

const name = fc.oneof(fc.constantFrom(':path', 'te', 'x-a', 'x-b', 'authorization', 'traceparent', 'cookie'), latin1);
const value = fc.oneof(fc.constantFrom('', 'trailers', 'a', 'b', 'v'.repeat(300), 'w'.repeat(3_000)), latin1);
const block = fc.array(fc.tuple(name, value), { maxLength: 20 }).map((fields) => fields.flat());

describe('header blocks', () => {
  test('decode to what was encoded, whatever the sizes of the tables in between', () => {
    const step = fc.record({
      block,
      frozen: fc.boolean(),
      repeat: fc.nat(2),
      sizes: fc.array(fc.nat(9_000), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.nat(20_000), (steps, ownLimit) => {
        const encoder = new HpackEncoder(ownLimit);
        const decoder = new HpackDecoder(GENEROUS);
        for (const { block, frozen, repeat, sizes } of steps) {
          if (frozen) Object.freeze(block);
          for (const size of sizes) {
            encoder.setPeerMaxTableBytes(size);
            decoder.setMaxTableBytes(size);
          }
          for (let round = 0; round <= repeat; round++) {
            const into = Buffer.alloc(encoder.bound(block));
            const end = encoder.encode(block, into, 0);
            expect(decoder.decode(into, 0, end)).toBe(undefined);
            expect(decoder.block).toEqual(block);
          }
        }
      }),
      runs(400),
    );
  });

  test('of random octets are refused or decoded, never more', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 20 }), (blocks) => {
        const decoder = new HpackDecoder({ maxHeaderListBytes: 4_096, maxHeaderFields: 50 });
        for (const octets of blocks) {
          const bytes = Buffer.from(octets);
          if (decoder.decode(bytes, 0, bytes.length) !== undefined) return;
          expect(decoder.block.length % 2).toBe(0);
        }
      }),
      runs(5_000),
    );
  });
});

describe('SETTINGS', () => {
  test('parse to what was written', () => {
    const uint32 = fc.nat({ max: 0xffff_ffff });
    const settings = fc.record(
      {
        headerTableBytes: uint32,
        enablePush: fc.boolean(),
        maxConcurrentStreams: uint32,
        initialWindowBytes: fc.nat({ max: 0x7fff_ffff }),
        maxFrameBytes: fc.integer({ min: 16_384, max: 16_777_215 }),
        maxHeaderListBytes: uint32,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(settings, (some: Settings) => {
        const bytes = Buffer.alloc(64);
        const end = putSettings(bytes, 0, some);
        expect(parseSettings(bytes, 9, end)).toEqual({ ok: true, value: some });
      }),
      runs(1_000),
    );
  });
});

/** Writes down frames, with DATA put together again. */
class Transcript implements FrameSink {
  readonly lines: string[] = [];
  #data = '';

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    this.lines.push(`${type} ${flags} ${streamId} ${bytes.toString('hex', start, end)}`);
  }
  onDataBegin(flags: number, streamId: number, length: number): void {
    this.#data = `data ${flags} ${streamId} ${length} `;
  }
  onDataPadding(octets: number): void {
    this.#data += `(${octets} padding) `;
  }
  onDataOctets(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#data += bytes.toString('hex', start, end);
    if (last) this.lines.push(this.#data);
  }
  onFrameFault(fault: string): void {
    this.lines.push(`fault ${fault}`);
  }
}

function transcript(pieces: readonly Buffer[]): string[] {
  const sink = new Transcript();
  const reader = new FrameReader(sink, 16_384, true);
  for (const piece of pieces) reader.read(piece);
  return sink.lines;
}

describe('a stream of frames', () => {
  test('reads the same in whatever pieces it comes', () => {
    fc.assert(
      fc.property(fc.array(someFrame, { maxLength: 12 }), fc.array(fc.nat(60), { maxLength: 40 }), (frames, cuts) => {
        const whole = Buffer.concat([PREFACE, ...frames]);
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          pieces.push(whole.subarray(at, at + cut));
          at += cut;
        }
        pieces.push(whole.subarray(at));
        expect(transcript(pieces)).toEqual(transcript([whole]));
      }),
      runs(2_000),
    );
  });

  test('reads the same when it is split at every byte', () => {
    const whole = Buffer.concat([
      PREFACE,
      SETTINGS,
      frame(FrameType.HEADERS, Flag.END_HEADERS, 1, encode(REQUEST)),
      frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from('\x05hello.....', 'latin1')),
      frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from('\x05.....', 'latin1')),
      frame(FrameType.DATA, Flag.END_STREAM, 1),
      frame(FrameType.WINDOW_UPDATE, 0, 0, word(1)),
    ]);
    const expected = transcript([whole]);
    expect(expected).toHaveLength(6);
    for (let at = 0; at <= whole.length; at++) {
      expect(transcript([whole.subarray(0, at), whole.subarray(at)])).toEqual(expected);
    }
    expect(transcript([...whole].map((octet) => Buffer.from([octet])))).toEqual(expected);
  });
});

describe('a send queue', () => {
  test('gives back what it was given, in order, whatever is taken at a time', () => {
    const push = fc.oneof(
      { weight: 6, arbitrary: fc.nat(300).map((bytes) => ({ data: bytes })) },
      { weight: 2, arbitrary: fc.nat(9_000).map((bytes) => ({ data: bytes })) },
      { weight: 1, arbitrary: fc.constant({ block: ['a', 'b'] }) },
      { weight: 6, arbitrary: fc.nat(5_000).map((bytes) => ({ take: bytes })) },
    );
    fc.assert(
      fc.property(fc.array(push, { maxLength: 80 }), (steps) => {
        const queue = new SendQueue();
        const given: string[] = [];
        const taken: string[] = [];
        let counter = 0;
        const take = (bytes: number): void => {
          if (queue.firstBlock !== undefined) {
            queue.shiftBlock();
            taken.push('B');
          } else if (!queue.isEmpty) taken.push(queue.takeData(Math.min(bytes, queue.firstBytes)).toString('hex'));
        };
        for (const step of steps) {
          if ('take' in step) take(step.take);
          else if ('block' in step) {
            queue.pushBlock(step.block);
            given.push('B');
          } else {
            const chunk = Buffer.alloc(step.data, ++counter);
            queue.pushData(chunk);
            given.push(chunk.toString('hex'));
          }
        }
        while (!queue.isEmpty) take(10_000);
        expect(taken.join('')).toBe(given.join(''));
      }),
      runs(1_000),
    );
  });
});

async function survives(pieces: readonly Buffer[]): Promise<void> {
  const [peer, engine] = duplexPair();
  const owner = new RecordingConnectionOwner();
  owner.answer = echo;
  peer.resume();
  const connection = new Http2Connection(engine, options('server', { limits: { lingerMs: 1 } }), owner, turn, buffers);
  for (const piece of pieces) {
    peer.write(piece);
    if (pieces.length < 6) await new Promise((resolve) => setImmediate(resolve));
  }
  for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
  expect(connection.openStreams).toBeLessThanOrEqual(100);
  peer.destroy();
  engine.destroy();
  await owner.ended;
  expect(owner.ends).toHaveLength(1);
  for (const { stream, owner: streamOwner } of owner.streams) {
    expect(streamOwner.resets.length).toBeLessThanOrEqual(1);
    expect(streamOwner.localEnds).toBeLessThanOrEqual(1);
    const finished = streamOwner.ended && streamOwner.localEnds === 1;
    if (!finished) expect(streamOwner.resets.length, `stream ${stream.id}`).toBe(1);
  }
}

describe('a client', () => {
  const response = fc.oneof(
    plausible,
    fc
      .record({ id: fc.constantFrom(1, 3, 5, 7), end: fc.boolean(), status: fc.constantFrom('100', '200', '204', 'x') })
      .map(({ id, end, status }) => frame(FrameType.HEADERS, 4 | (end ? 1 : 0), id, encode([':status', status]))),
    fc
      .record({ id: fc.constantFrom(1, 3, 5, 7) })
      .map(({ id }) => frame(FrameType.HEADERS, 5, id, encode(['grpc-status', '0']))),
    fc.constantFrom(0, 3, 0x7fff_ffff).map((id) => frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(id), word(0)]))),
  );

  test('survives whatever a server says, and tells every stream of its end exactly once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(response, { maxLength: 30 }), async (frames) => {
        const [peer, engine] = duplexPair();
        peer.resume();
        const owner = new RecordingConnectionOwner();
        const limits = { lingerMs: 1 };
        const connection = new Http2Connection(engine, options('client', { limits }), owner, turn, buffers);
        const streams = [1, 3, 5].map((id) => {
          const streamOwner = new RecordingStreamOwner();
          connection.open(REQUEST, false, streamOwner).sendData(Buffer.alloc(30_000), id !== 3);
          return streamOwner;
        });
        peer.write(Buffer.concat([SETTINGS, SETTINGS_ACK, ...frames]));
        for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
        peer.destroy();
        engine.destroy();
        await owner.ended;
        expect(owner.ends).toHaveLength(1);
        for (const streamOwner of streams) {
          const finished = streamOwner.ended && streamOwner.localEnds === 1;
          expect(streamOwner.resets.length).toBe(finished && streamOwner.resets.length === 0 ? 0 : 1);
        }
      }),
      runs(1_500),
    );
  });
});

describe('a server', () => {
  test('survives random octets after the preface', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (octets) =>
        survives([Buffer.concat([PREFACE, SETTINGS, octets])]),
      ),
      runs(1_000),
    );
  });

  test('survives plausible frames in any order, and tells every stream of its end exactly once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(plausible, { maxLength: 30 }), fc.boolean(), (frames, together) =>
        survives(
          together
            ? [Buffer.concat([PREFACE, SETTINGS, SETTINGS_ACK, ...frames])]
            : [PREFACE, SETTINGS, SETTINGS_ACK, ...frames],
        ),
      ),
      runs(2_000),
    );
  });
});
