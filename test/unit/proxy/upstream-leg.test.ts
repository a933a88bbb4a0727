import { afterEach, describe, expect, it } from 'vitest';
import type { HeaderBlock } from '../../../src/http2/contract.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { type LegOwner, UpstreamLeg } from '../../../src/proxy/upstream-leg.ts';
import { UpstreamPool } from '../../../src/proxy/upstream-pool.ts';
import { eventually } from '../../fakes/hostile-ground.ts';
import { GRPC_HEADERS, OK_TRAILERS, RawUpstream, type RawUpstreamOptions } from '../../fakes/raw-upstream.ts';

/** Evidence is for the compiler; the leg looks at none of it. */
const EVIDENCE = {} as never;

class RecordingOwner implements LegOwner {
  headersFail = false;
  readonly blocks: HeaderBlock[] = [];
  readonly data: Buffer[] = [];
  taken = 0;
  ended = false;
  failures: Denial[] = [];

  upstreamHeaders(): HeaderBlock {
    if (this.headersFail) throw new Error('no headers');
    return [':method', 'POST', ':scheme', 'http', ':path', '/a.B/C', ':authority', 'a'];
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    this.blocks.push(block);
    this.ended ||= endStream;
  }

  onResponseData(chunk: Buffer, endStream: boolean): void {
    this.data.push(chunk);
    this.ended ||= endStream;
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
const owner = (): RecordingOwner => new RecordingOwner();
afterEach(async () => {
  pool.destroy('the test has ended');
  await upstream.stop();
});

async function start(options: RawUpstreamOptions = {}): Promise<void> {
  upstream = await RawUpstream.start(options);
  upstream.script = () => undefined;
  pool = new UpstreamPool({
    config: upstream.config({ maxConnections: 1 }),
    turn: new Turn(systemClock),
    buffers: new OutputBufferPool(),
    streamWindowBytes: 65_535,
    connectionWindowBytes: 65_535,
    maxHeaderListBytes: 16_384,
  });
}

const open = (to: LegOwner): UpstreamLeg => UpstreamLeg.open(EVIDENCE, EVIDENCE, pool, to);

describe('what is sent before there is a connection', () => {
  it('leaves in order when there is one, with its end', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    for (let i = 0; i < 1_000; i++) leg.sendPart(Buffer.from([i % 256]));
    leg.sendMessage(EVIDENCE, Buffer.alloc(5_000), false);
    leg.sendEnd(EVIDENCE);
    await eventually('the end', () => upstream.connections[0]?.ended.has(1) === true);
    expect(upstream.connections[0]?.received.get(1)).toBe(6_000);
    await eventually('all taken', () => call.taken === 6_000);
  });

  it('may be nothing but the end', async () => {
    await start();
    open(owner()).sendEnd(EVIDENCE);
    await eventually('the end', () => upstream.connections[0]?.ended.has(1) === true);
    expect(upstream.connections[0]?.received.get(1)).toBeUndefined();
  });

  it('goes nowhere when the call has ended meanwhile', async () => {
    await start();
    const first = open(owner());
    first.sendPart(Buffer.from('x'));
    first.cancel();
    const second = open(owner());
    second.sendEnd(EVIDENCE);
    await eventually('the second', () => upstream.connections[0]?.ended.size === 1);
    expect(upstream.connections[0]?.opened).toEqual([1]);
  });
});

describe('the end of a leg', () => {
  it('is a reset when the call is cancelled, and nothing more is heard of it', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    leg.sendPart(Buffer.from('x'));
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 1);
    leg.cancel();
    leg.cancel();
    await eventually('CANCEL', () => upstream.connections[0]?.resets.get(1) === 8);
    upstream.connections[0]?.answer(1);
    leg.sendPart(Buffer.from('y'));
    expect([call.blocks, call.failures]).toEqual([[], []]);
  });

  it('needs no reset when both sides have ended, and one when our end has not left', async () => {
    await start();
    const whole = owner();
    const leg = open(whole);
    leg.sendEnd(EVIDENCE);
    await eventually('its end', () => upstream.connections[0]?.ended.has(1) === true);
    upstream.connections[0]?.answer(1);
    await eventually('the answer', () => whole.ended);
    leg.finish();
    const stuck = owner();
    const other = open(stuck);
    // Beyond the upstream's window of 64 KiB.
    other.sendMessage(EVIDENCE, Buffer.alloc(70_000), true);
    await eventually('what fits', () => upstream.connections[0]?.received.get(3) === 65_535);
    upstream.connections[0]?.headers(3, [...GRPC_HEADERS, ...OK_TRAILERS], true);
    await eventually('the early answer', () => stuck.ended);
    other.finish();
    await eventually('NO_ERROR', () => upstream.connections[0]?.resets.get(3) === 0);
    expect(upstream.connections[0]?.resets.has(1)).toBe(false);
  });

  it('gives the window back of what nobody takes any more', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    leg.sendEnd(EVIDENCE);
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 1);
    upstream.connections[0]?.headers(1, GRPC_HEADERS, false);
    for (let i = 0; i < 4; i++) upstream.connections[0]?.data(1, Buffer.alloc(16_000));
    await eventually('64 KB', () => call.data.length === 4);
    leg.cancel();
    // The connection's whole window was in that answer: without it the next has none.
    const next = owner();
    open(next).sendEnd(EVIDENCE);
    await eventually('the next', () => upstream.connections[0]?.opened.length === 2);
    upstream.connections[0]?.answer(3, Buffer.alloc(16_000));
    await eventually('its answer', () => next.ended);
    expect(next.data.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(16_000);
  });

  it('is told once, when the stream or the connection dies', async () => {
    await start();
    const reset = owner();
    open(reset).sendEnd(EVIDENCE);
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 1);
    upstream.connections[0]?.reset(1, 7);
    await eventually('the failure', () => reset.failures.length === 1);
    expect(reset.failures[0]).toMatchObject({ kind: 'upstream_unavailable', why: 'refused the stream' });
    const lost = owner();
    open(lost).sendEnd(EVIDENCE);
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 2);
    upstream.connections[0]?.socket.destroy();
    await eventually('the failure', () => lost.failures.length === 1);
    expect(lost.failures[0]).toMatchObject({ kind: 'upstream_unavailable' });
  });

  it('is its own when its headers cannot be made: the next call that waits is served', async () => {
    await start();
    const poisoned = owner();
    poisoned.headersFail = true;
    open(poisoned).sendEnd(EVIDENCE);
    const next = owner();
    open(next).sendEnd(EVIDENCE);
    await eventually('the next', () => upstream.connections[0]?.ended.has(1) === true);
    expect(poisoned.failures).toEqual([{ kind: 'internal', cause: new Error('no headers') }]);
    expect(next.failures).toEqual([]);
  });
});
