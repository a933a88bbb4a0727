/** RFC 7541 against the stories of http2jp/hpack-test-case, and our encoder against our decoder. */
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { readVector, vectorFiles } from './vectors.ts';

interface Story {
  readonly cases: readonly {
    readonly seqno: number;
    readonly header_table_size?: number;
    readonly wire: string;
    readonly headers: readonly Record<string, string>[];
  }[];
}

const GENEROUS = { maxHeaderListBytes: 1_048_576, maxHeaderFields: 10_000 };

function expectedBlock(headers: readonly Record<string, string>[]): string[] {
  return headers.flatMap((header) => Object.entries(header).flat()).map((text) => Buffer.from(text).toString('latin1'));
}

describe.each(['nghttp2', 'nghttp2-change-table-size'])('stories of %s', (set) => {
  const files = vectorFiles(`hpack-test-case/${set}`);

  test('are all there', () => expect(files.length).toBeGreaterThanOrEqual(22));

  test.each(files.map((file) => [basename(file), file]))('%s decodes', (_name, file) => {
    const story = readVector<Story>(file);
    const decoder = new HpackDecoder(GENEROUS);
    for (const { header_table_size, wire, headers } of story.cases) {
      if (header_table_size !== undefined) decoder.setMaxTableBytes(header_table_size);
      const bytes = Buffer.from(wire, 'hex');
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect(decoder.block).toEqual(expectedBlock(headers));
    }
  });

  test.each(files.map((file) => [basename(file), file]))('%s goes through our encoder and back', (_name, file) => {
    const story = readVector<Story>(file);
    for (const sizes of [[4_096], [0], [16_384], [4_096, 100, 0, 2_000]]) {
      const encoder = new HpackEncoder(16_384);
      const decoder = new HpackDecoder(GENEROUS);
      for (const [index, { headers }] of story.cases.entries()) {
        const size = sizes[index % sizes.length] ?? 0;
        encoder.setPeerMaxTableBytes(size);
        decoder.setMaxTableBytes(size);
        const block = Object.freeze(expectedBlock(headers));
        for (let round = 0; round < 2; round++) {
          const into = Buffer.alloc(encoder.bound(block));
          const end = encoder.encode(block, into, 0);
          expect(decoder.decode(into, 0, end)).toBe(undefined);
          expect(decoder.block).toEqual(block);
        }
      }
    }
  });
});
