/**
 * Judges: nghttp2's inflater and python3-hpack decode what our encoder makes of every story of http2jp/hpack-test-case, while the table
 * changes its size. The stories lie in the folder that BULKHEAD_VECTORS names, or in `shared/vectors` beside the repository; without
 * them the test fails.
 */
import { execFileSync } from 'node:child_process';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HeaderBlock } from '../../src/http2/contract.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { markNeverIndexed } from '../../src/http2/never-indexed.ts';
import { readVector, vectorFiles } from '../conformance/vectors.ts';
import { peerSource } from './harness/peer-file.ts';

interface Story {
  readonly cases: readonly {
    readonly header_table_size?: number;
    readonly headers: readonly Readonly<Record<string, string>>[];
  }[];
}

/** One block as the judge gets it, and what it must say of it. */
interface Sent {
  readonly size: number | null;
  readonly wire: string;
  readonly fields: readonly Field[];
}

type Field = readonly [nameHex: string, valueHex: string, neverIndexed: boolean];

const JUDGES = ['nghttp2', 'python3-hpack'];
const STORIES = { nghttp2: 32, 'nghttp2-change-table-size': 31 };
const OWN_TABLE_BYTES = 16_384;
/** What a client could call secret. */
const SECRETS: ReadonlySet<string> = new Set(['cookie', 'set-cookie', 'authorization']);
/** What the peer's SETTINGS allow before each block, in turn; undefined: what the story says. */
const SIZES: readonly (readonly number[] | undefined)[] = [undefined, [4_096, 100, 0, 2_000, 65_536]];

function sendStory(story: Story, sizes: readonly number[] | undefined): readonly Sent[] {
  const encoder = new HpackEncoder(OWN_TABLE_BYTES);
  // What we allow ourselves is less than what the peer may.
  return story.cases.flatMap(({ header_table_size: said, headers }, index) => {
    const size = (sizes === undefined ? said : sizes[index % sizes.length]) ?? null;
    if (size !== null) encoder.setPeerMaxTableBytes(size);
    const texts = headers.flatMap((header) => Object.entries(header).flat());
    const block: HeaderBlock = texts.map((text) => Buffer.from(text).toString('latin1'));
    const secret = index % 2 === 1;
    if (secret) markNeverIndexed(block, SECRETS);
    Object.freeze(block);
    const fields = fieldsOf(block, secret);
    // Twice: what is said again is recalled, or made of the table alone.
    return [
      { size, wire: send(encoder, block), fields },
      { size: null, wire: send(encoder, block), fields },
    ];
  });
}

function fieldsOf(block: HeaderBlock, secret: boolean): readonly Field[] {
  const hex = (text: string | undefined): string => Buffer.from(text ?? '', 'latin1').toString('hex');
  return block.flatMap((name, index): Field[] =>
    index % 2 === 0 ? [[hex(name), hex(block[index + 1]), secret && SECRETS.has(name)]] : [],
  );
}

function send(encoder: HpackEncoder, block: HeaderBlock): string {
  const known = encoder.recall(block);
  if (known !== undefined) return Buffer.from(known).toString('hex');
  const into = Buffer.alloc(encoder.bound(block));
  return into.toString('hex', 0, encoder.encode(block, into, 0));
}

function decodeWith(judge: string, connections: readonly (readonly Sent[])[]): readonly unknown[] {
  const input = connections.map((blocks) => `${JSON.stringify(blocks.map(({ size, wire }) => ({ size, wire })))}\n`);
  const options = { input: input.join(''), encoding: 'utf8', maxBuffer: 1 << 28, timeout: 120_000 } as const;
  return execFileSync('/usr/bin/python3', [peerSource('hpack_judge.py'), judge], options)
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
}

describe.each(JUDGES)('%s decodes what we encode of', (judge) => {
  it.each(Object.entries(STORIES))('all stories of %s', (set, count) => {
    const files = vectorFiles(`hpack-test-case/${set}`);
    expect(files).toHaveLength(count);
    const sent = files.flatMap((file) => SIZES.map((sizes) => sendStory(readVector<Story>(file), sizes)));
    const decoded = decodeWith(judge, sent);
    expect(decoded).toHaveLength(sent.length);
    const wrong = sent.flatMap((blocks, index) => {
      const expected = JSON.stringify(blocks.map(({ fields }) => fields));
      const got = JSON.stringify(decoded[index]);
      return got === expected ? [] : [`${basename(files[index >> 1] ?? '')}: ${got.slice(0, 500)}`];
    });
    expect(wrong).toEqual([]);
    const never = sent.flat().flatMap(({ fields }) => fields.filter(([, , neverIndexed]) => neverIndexed));
    expect(never.length).toBeGreaterThan(100);
    const octets = sent.flat().reduce((sum, { wire }) => sum + wire.length / 2, 0);
    process.stdout.write(
      `${judge}: ${files.length} stories of ${set}, ${sent.flat().length} blocks, ${octets} octets, ${never.length} fields never indexed\n`,
    );
  });
});
