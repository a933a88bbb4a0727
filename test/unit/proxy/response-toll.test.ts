import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Denial } from '../../../src/kernel/denial.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { ResponseToll } from '../../../src/proxy/response-toll.ts';
import { ByteToll } from '../../../src/quota/byte-toll.ts';

const NOW = 0 as EpochMicros;
const SPENT: Denial = { kind: 'draining' };

/** A toll with so many bytes to give. */
function tollOf(bytes: number) {
  const left = { bytes };
  const toll = new ByteToll({
    take: (amount) => {
      if (amount > left.bytes) return SPENT;
      left.bytes -= amount;
      return undefined;
    },
    giveBack: (amount) => {
      left.bytes += amount;
    },
  });
  return { left, response: new ResponseToll(toll, { pay: (amount) => toll.pay(amount, NOW) }) };
}

function message(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length, 7);
  bytes[0] = 0;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** Cuts a stream at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

describe('a response that pays for its messages', () => {
  it('goes on up to the last that is paid, however it comes in pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(40), { maxLength: 8 }),
        fc.array(fc.nat(400), { maxLength: 30 }),
        fc.nat(300),
        (lengths, places, room) => {
          const { left, response } = tollOf(room);
          const messages = lengths.map(message);
          const paid: Buffer[] = [];
          let bytes = 0;
          for (const one of messages) {
            if (bytes + one.length > room) break;
            bytes += one.length;
            paid.push(one);
          }
          const passed: Buffer[] = [];
          for (const chunk of cut(Buffer.concat(messages), places)) {
            passed.push(Buffer.from(response.pass(chunk)));
            if (response.denial !== undefined) break;
          }
          expect(Buffer.concat(passed).equals(Buffer.concat(paid))).toBe(true);
          expect(response.denial).toBe(paid.length === messages.length ? undefined : SPENT);
          response.settle();
          expect(left.bytes).toBe(room - bytes);
        },
      ),
    );
  });

  it('that ends amid a message has what never came given back', () => {
    const { left, response } = tollOf(100);
    response.pass(message(50).subarray(0, 20));
    expect(left.bytes).toBe(45);
    response.settle();
    response.settle();
    expect(left.bytes).toBe(80);
  });

  it('keeps a prefix back until it is whole', () => {
    const { response } = tollOf(100);
    expect(response.pass(message(3).subarray(0, 4))).toHaveLength(0);
    expect(response.kept).toEqual(message(3).subarray(0, 4));
    expect(response.pass(message(3).subarray(4, 6))).toEqual(message(3).subarray(0, 6));
    expect(response.kept).toHaveLength(0);
  });

  it('passes a chunk on as it is where nothing is cut', () => {
    const { response } = tollOf(1_000);
    const chunk = Buffer.concat([message(3), message(100).subarray(0, 50)]);
    expect(response.pass(chunk)).toBe(chunk);
    const rest = message(100).subarray(50);
    expect(response.pass(rest)).toBe(rest);
  });
});
