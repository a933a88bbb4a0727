import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageCounter } from '../../../src/inspection/message-counter.ts';

function stream(lengths: readonly number[]): Buffer {
  return Buffer.concat(
    lengths.map((length) => {
      const framed = Buffer.alloc(5 + length, 0xff);
      framed[0] = 0;
      framed.writeUInt32BE(length, 1);
      return framed;
    }),
  );
}

describe('the message counter', () => {
  it('counts messages and bytes, however the stream is split', () => {
    const lengths = fc.array(fc.nat(300), { maxLength: 6 });
    fc.assert(
      fc.property(lengths, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes, steps) => {
        const bytes = stream(sizes);
        const counter = new MessageCounter();
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const step = steps[i % steps.length] ?? 1;
          counter.push(bytes.subarray(at, at + step));
          at += step;
        }
        expect(counter).toMatchObject({ messages: sizes.length, bytes: bytes.length, atBoundary: true });
      }),
    );
  });

  it('takes the rest of the message that is under way, however it is split, and no more', () => {
    const bytes = stream([7, 9]);
    for (let begun = 1; begun < 12; begun += 1) {
      for (let step = 1; step < 20; step += 1) {
        const counter = new MessageCounter();
        counter.push(bytes.subarray(0, begun));
        let at = begun;
        while (!counter.atBoundary) at += counter.pushToEnd(bytes.subarray(at, at + step));
        expect([at, counter.bytes, counter.messages]).toEqual([12, 12, 1]);
        expect(counter.pushToEnd(bytes.subarray(12))).toBe(0);
      }
    }
  });

  it('knows that a stream was cut inside a message', () => {
    for (const cut of [1, 4, 5, 7]) {
      const counter = new MessageCounter();
      counter.push(stream([3]).subarray(0, cut));
      expect(counter.atBoundary).toBe(false);
    }
  });

  it('knows where its last messages end', () => {
    const lengths = fc.array(fc.nat(20), { maxLength: 16 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 9 }), (sizes, step) => {
        const bytes = stream(sizes);
        const counter = new MessageCounter();
        const ends = sizes.map((_, index) => stream(sizes.slice(0, index + 1)).length);
        for (let at = 0; at < bytes.length; at += step) counter.push(bytes.subarray(at, at + step));
        for (let at = 0; at <= bytes.length; at++) expect(counter.endsAt(at)).toBe(at === 0 || ends.includes(at));
      }),
    );
  });

  it('forgets the ends of messages before its last sixteen', () => {
    const counter = new MessageCounter();
    counter.push(stream(Array.from({ length: 17 }, () => 5)));
    expect([10, 20, 30, 170].map((at) => counter.endsAt(at))).toEqual([false, true, true, true]);
  });

  it('takes a message of 4 GiB by its declared length without looking at it', () => {
    const counter = new MessageCounter();
    counter.push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    counter.push(Buffer.alloc(1 << 20));
    expect(counter).toMatchObject({ messages: 1, atBoundary: false });
  });
});
