/**
 * Requests that never become calls: malformed, too large, or more than may run at once. The client gets a reset, and the record
 * says who tried what.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FrameClient } from '../fakes/frame-client.ts';
import { HostileGround, INFER } from '../fakes/hostile-ground.ts';

let ground: HostileGround;
beforeEach(async () => {
  ground = await HostileGround.start({ limits: { maxConcurrentStreams: 2 } });
});
afterEach(() => ground.stop());

const GOOD = [
  ':method',
  'POST',
  ':scheme',
  'https',
  ':path',
  INFER,
  ':authority',
  'acme',
  'content-type',
  'application/grpc',
  'te',
  'trailers',
];

async function refusalsAfter(...blocks: readonly (readonly string[])[]): Promise<readonly string[]> {
  const client = await FrameClient.connect(ground.access(ground.acme));
  const ids = blocks.map((block) => client.open(block));
  const last = ids.at(-1);
  if (last !== undefined) await client.outcome(last);
  client.close();
  const refusals = await ground.sidecar.refusals();
  return refusals
    .filter(({ reason }) => reason === 'HTTP2_REQUEST_REFUSED')
    .map(({ detail, tenantClaim, peerAddress, count }) => `${tenantClaim} ${peerAddress} ${count}: ${detail}`);
}

describe('a request that never becomes a call', () => {
  it.each([
    ['an upper-case name', [...GOOD, 'X-Upper', '1']],
    ['a second path', [...GOOD.slice(0, 6), ':path', INFER, ...GOOD.slice(6)]],
    ['a pseudo-header behind a header', [...GOOD, ':path', INFER]],
    ['a connection header', [...GOOD, 'connection', 'close']],
    ['headers beyond the limit', [...GOOD, ...Array.from({ length: 500 }, () => ['x-many', '1']).flat()]],
  ])('is on record with its peer and tenant: %s', async (_what, block) => {
    const refusals = await refusalsAfter(block);
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatch(/^acme 127\.0\.0\.1 1: ./);
    expect(ground.upstream.calls).toHaveLength(0);
  });

  it('is on record when it is the third of two', async () => {
    expect(await refusalsAfter(GOOD, GOOD, GOOD)).toEqual(['acme 127.0.0.1 1: maxConcurrentStreams exceeded']);
  });

  it('leaves no such record when it is the second of two', async () => {
    const client = await FrameClient.connect(ground.access(ground.acme));
    const ids = [client.open(GOOD, true), client.open(GOOD, true)];
    for (const id of ids) await client.outcome(id);
    client.close();
    const refusals = await ground.sidecar.refusals();
    expect(refusals.filter(({ reason }) => reason === 'HTTP2_REQUEST_REFUSED')).toEqual([]);
  });
});
