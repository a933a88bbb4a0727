import { afterEach, describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import type { HeaderBlock } from '../../../src/http2/contract.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { EgressLeg } from '../../../src/proxy/egress-leg.ts';
import type { LegOwner } from '../../../src/proxy/leg.ts';
import { UpstreamPool } from '../../../src/proxy/upstream-pool.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { eventually } from '../../fakes/hostile-ground.ts';
import { GRPC_HEADERS, OK_TRAILERS, RawUpstream } from '../../fakes/raw-upstream.ts';

class RecordingOwner implements LegOwner {
  headersFail = false;
  readonly blocks: HeaderBlock[] = [];
  readonly data: Buffer[] = [];
  readonly failures: Denial[] = [];
  taken = 0;
  ended = false;

  upstreamHeaders(): HeaderBlock {
    if (this.headersFail) throw new Error('no headers');
    return [':method', 'POST', ':scheme', 'http', ':path', '/a.B/C', ':authority', 'a'];
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    this.blocks.push(block);
    this.ended ||= endStream;
  }

  onResponseData(chunk: Buffer): void {
    this.data.push(chunk);
  }

  onRequestTaken(bytes: number): void {
    this.taken += bytes;
  }

  onLegFailed(denial: Denial): void {
    this.failures.push(denial);
  }
}

let upstream: RawUpstream;
let pool: UpstreamPool;
afterEach(async () => {
  pool.destroy('the test has ended');
  await upstream.stop();
});

async function start(): Promise<void> {
  upstream = await RawUpstream.start({});
  upstream.script = () => undefined;
  const tables = attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0);
  pool = new UpstreamPool({
    config: upstream.config({ maxConnections: 1 }),
    turn: new Turn(systemClock),
    buffers: new OutputBufferPool(),
    account: new ByteAccount(tables, 0, 1024 ** 2),
    streamWindowBytes: 65_535,
    connectionWindowBytes: 65_535,
    maxHeaderListBytes: 16_384,
  });
}

function open(owner: LegOwner, bare = false): EgressLeg {
  const leg = new EgressLeg(pool, owner, bare);
  leg.open();
  return leg;
}

/** The upstream's side of the connection, once a call is on it. */
async function opened(streams: number): Promise<RawUpstream['connections'][number]> {
  await eventually(`${streams} streams`, () => upstream.connections[0]?.opened.length === streams);
  const [connection] = upstream.connections;
  if (connection === undefined) throw new Error('no connection');
  return connection;
}

describe('what is sent before there is a connection', () => {
  it('leaves in order when there is one, with its end', async () => {
    await start();
    const call = new RecordingOwner();
    const leg = open(call);
    for (let i = 0; i < 1_000; i++) leg.send(Buffer.from([i % 256]), false);
    leg.send(Buffer.alloc(5_000), true);
    const connection = await opened(1);
    await eventually('the end', () => connection.ended.has(1));
    expect(connection.received.get(1)).toBe(6_000);
    await eventually('all taken', () => call.taken === 6_000);
  });

  it('may be the headers alone', async () => {
    await start();
    open(new RecordingOwner(), true);
    const connection = await opened(1);
    await eventually('the end', () => connection.ended.has(1));
    expect(connection.received.get(1)).toBeUndefined();
  });

  it('goes nowhere when the call has ended meanwhile', async () => {
    await start();
    const first = open(new RecordingOwner());
    first.send(Buffer.from('x'), false);
    first.cancel();
    open(new RecordingOwner(), true);
    const connection = await opened(1);
    await eventually('the second', () => connection.ended.size === 1);
    expect(connection.received.size).toBe(0);
  });
});

describe('the end of an egress leg', () => {
  it('is a reset when the call is cancelled, and nothing more is heard of it', async () => {
    await start();
    const call = new RecordingOwner();
    const leg = open(call);
    const connection = await opened(1);
    leg.cancel();
    leg.cancel();
    await eventually('CANCEL', () => connection.resets.get(1) === 8);
    connection.answer(1);
    leg.send(Buffer.from('y'), true);
    expect([call.blocks, call.failures]).toEqual([[], []]);
  });

  it('tells an upstream that answers early to stop reading', async () => {
    await start();
    const call = new RecordingOwner();
    const leg = open(call);
    const connection = await opened(1);
    connection.headers(1, [...GRPC_HEADERS, ...OK_TRAILERS], true);
    await eventually('the answer', () => call.ended);
    leg.finish();
    await eventually('NO_ERROR', () => connection.resets.get(1) === 0);
  });

  it('gives the window back of what nobody takes any more', async () => {
    await start();
    const call = new RecordingOwner();
    const leg = open(call, true);
    const connection = await opened(1);
    connection.headers(1, GRPC_HEADERS, false);
    for (let i = 0; i < 4; i++) connection.data(1, Buffer.alloc(16_000));
    await eventually('64 KB', () => call.data.length === 4);
    leg.cancel();
    // The connection's whole window was in that answer: without it the next has none.
    const next = new RecordingOwner();
    open(next, true);
    await opened(2);
    connection.answer(3, Buffer.alloc(16_000));
    await eventually('its answer', () => next.ended);
  });

  it.each([
    ['REFUSED_STREAM', 7, 'upstream_unavailable', true],
    ['ENHANCE_YOUR_CALM', 11, 'upstream_protocol', false],
    ['INTERNAL_ERROR', 2, 'upstream_protocol', false],
  ])('by %s is told once, and whether the call was looked at', async (_, code, kind, untouched) => {
    await start();
    const call = new RecordingOwner();
    const leg = open(call, true);
    (await opened(1)).reset(1, code);
    await eventually('the failure', () => call.failures.length === 1);
    expect(call.failures).toMatchObject([{ kind }]);
    expect(leg.untouched).toBe(untouched);
  });

  it('by GOAWAY is known to be untouched only above the last stream that was looked at', async () => {
    await start();
    const [seen, unseen] = [new RecordingOwner(), new RecordingOwner()];
    const first = open(seen, true);
    const connection = await opened(1);
    const second = open(unseen, true);
    await opened(2);
    connection.goaway(1, 0);
    await eventually('the failure', () => unseen.failures.length === 1);
    expect(second.untouched).toBe(true);
    connection.socket.destroy();
    await eventually('the failure', () => seen.failures.length === 1);
    expect(first.untouched).toBe(false);
    expect(seen.failures).toMatchObject([{ kind: 'upstream_unavailable', why: expect.stringContaining('ended') }]);
  });

  it('is its own when its headers cannot be made: the next call that waits is served', async () => {
    await start();
    const poisoned = new RecordingOwner();
    poisoned.headersFail = true;
    open(poisoned, true);
    const next = new RecordingOwner();
    open(next, true);
    const connection = await opened(1);
    await eventually('the next', () => connection.ended.has(1));
    expect(poisoned.failures).toEqual([{ kind: 'internal', cause: new Error('no headers') }]);
    expect(next.failures).toEqual([]);
  });
});
