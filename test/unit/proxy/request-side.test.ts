import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { RequestSide, type RequestSideOwner } from '../../../src/proxy/request-side.ts';

const OWNER: RequestSideOwner = {
  permit: () => ({ ok: false, error: { kind: 'draining' } }),
  openLeg: () => undefined,
  refuse: () => undefined,
  requestGrew: () => undefined,
  fault: () => undefined,
};

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Pushes one-byte views of large reads, as an attacker's frames are. Gives what of the reads is still in memory. */
async function flood(side: RequestSide, pieces: number): Promise<number> {
  const reads: WeakRef<ArrayBufferLike>[] = [];
  for (let i = 0; i < pieces; i++) {
    const read = Buffer.allocUnsafeSlow(64 * 1024);
    reads.push(new WeakRef(read.buffer));
    side.push(read.subarray(5, 6), false);
  }
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  return reads.filter((read) => read.deref() !== undefined).length;
}

describe('a request that waits to be admitted', () => {
  it('does not keep the reads alive of which its bytes are views', async () => {
    const side = new RequestSide(OWNER);
    expect(await flood(side, 200)).toBeLessThan(10);
    expect(side.push(Buffer.from('x'), true)).toBe(true);
  });

  it('is not wanted any more once it was stopped', () => {
    const side = new RequestSide(OWNER);
    side.push(Buffer.from('x'), false);
    side.stop();
    expect(side.push(Buffer.from('x'), false)).toBe(false);
    expect(side.messages).toBe(0);
  });
});
