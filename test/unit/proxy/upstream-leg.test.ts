import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import type { HeaderBlock } from '../../../src/http2/contract.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import type { LegOwner } from '../../../src/proxy/leg.ts';
import { MAX_REPLAY_BYTES } from '../../../src/proxy/replay.ts';
import { UpstreamLeg } from '../../../src/proxy/upstream-leg.ts';
import { UpstreamPool } from '../../../src/proxy/upstream-pool.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { eventually } from '../../fakes/hostile-ground.ts';
import {
  GRPC_HEADERS,
  OK_TRAILERS,
  RawUpstream,
  type RawUpstreamConnection,
  type RawUpstreamOptions,
} from '../../fakes/raw-upstream.ts';

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
let account: ByteAccount;
const owner = (): RecordingOwner => new RecordingOwner();
afterEach(async () => {
  pool.destroy('the test has ended');
  await upstream.stop();
});

async function start(options: RawUpstreamOptions = {}): Promise<void> {
  upstream = await RawUpstream.start(options);
  upstream.script = () => undefined;
  account = newAccount();
  pool = new UpstreamPool({
    config: upstream.config({ maxConnections: 1 }),
    turn: new Turn(systemClock),
    buffers: new OutputBufferPool(),
    account,
    streamWindowBytes: 65_535,
    connectionWindowBytes: 65_535,
    maxHeaderListBytes: 16_384,
  });
}

function newAccount(limitBytes = 16 * 1024 * 1024): ByteAccount {
  return new ByteAccount(attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0), 0, limitBytes);
}

const open = (to: LegOwner): UpstreamLeg => UpstreamLeg.open(EVIDENCE, EVIDENCE, EVIDENCE, pool, to);

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
    upstream.connections[0]?.reset(1, 2);
    await eventually('the failure', () => reset.failures.length === 1);
    expect(reset.failures[0]).toMatchObject({ kind: 'upstream_protocol', why: 'reset the stream with code 2' });
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

describe('a stream that the upstream never looked at', () => {
  const REFUSED_STREAM = 7;
  const bodyOf = (id: number): number | undefined => upstream.connections[0]?.received.get(id);
  const whole = (id: number) => () => upstream.connections[0]?.ended.has(id) === true;

  it('is sent once more, whole and with its end, and its bytes are told once', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    leg.sendPart(Buffer.alloc(1_000, 1));
    leg.sendMessage(EVIDENCE, Buffer.alloc(4_000, 2), true);
    await eventually('the first stream', whole(1));
    await eventually('its bytes taken', () => call.taken === 5_000);
    upstream.connections[0]?.reset(1, REFUSED_STREAM);
    await eventually('the second stream', whole(3));
    expect([bodyOf(3), call.taken, call.failures]).toEqual([5_000, 5_000, []]);
    upstream.connections[0]?.answer(3);
    await eventually('the answer', () => call.ended);
    leg.finish();
    expect(account.used).toBe(0);
  });

  it('is refused a second time: then the call has failed', async () => {
    await start();
    upstream.script = (up, id) => up.reset(id, REFUSED_STREAM);
    const call = owner();
    open(call).sendEnd(EVIDENCE);
    await eventually('the failure', () => call.failures.length === 1);
    expect(call.failures[0]).toMatchObject({ kind: 'upstream_unavailable', why: 'refused the stream' });
    expect(upstream.connections[0]?.opened).toEqual([1, 3]);
    expect(account.used).toBe(0);
  });

  it('goes on where its client is, on another connection when this one goes away', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    leg.sendPart(Buffer.from('before '));
    await eventually('the stream', () => bodyOf(1) === 7);
    upstream.connections[0]?.goaway(0, 0);
    await eventually('the second connection', () => upstream.connections[1]?.received.get(1) === 7);
    leg.sendMessage(EVIDENCE, Buffer.from('after'), true);
    await eventually('the rest', () => upstream.connections[1]?.ended.has(1) === true);
    expect([upstream.connections[1]?.received.get(1), call.taken, call.failures]).toEqual([12, 12, []]);
  });

  it('keeps what comes while it waits for a connection, in order', async () => {
    await start({ maxConcurrentStreams: 1 });
    const call = owner();
    const leg = open(call);
    leg.sendPart(Buffer.from('a'));
    await eventually('the stream', () => bodyOf(1) === 1);
    const bodies: Buffer[] = [];
    upstream.connections[0]?.goaway(0, 0);
    leg.sendPart(Buffer.from('b'));
    upstream.onConnection = ({ socket }) => socket.on('data', (chunk: Buffer) => bodies.push(chunk));
    leg.sendMessage(EVIDENCE, Buffer.from('c'), true);
    await eventually('the end', () => upstream.connections[1]?.ended.has(1) === true);
    expect(Buffer.concat(bodies).includes('a')).toBe(true);
    expect(upstream.connections[1]?.received.get(1)).toBe(3);
    expect(call.failures).toEqual([]);
  });

  it.each([
    ['n', MAX_REPLAY_BYTES, 1],
    ['n + 1', MAX_REPLAY_BYTES + 1, 0],
  ])('is kept up to the limit (%s bytes)', async (_, bytes, streams) => {
    await start();
    const call = owner();
    open(call).sendMessage(EVIDENCE, Buffer.alloc(bytes), true);
    await eventually('the stream', () => (bodyOf(1) ?? 0) >= 65_535);
    upstream.connections[0]?.reset(1, REFUSED_STREAM);
    await eventually('either', () => call.failures.length > 0 || upstream.connections[0]?.opened.length === 2);
    expect((upstream.connections[0]?.opened.length ?? 0) - 1).toBe(streams);
    expect(call.failures).toHaveLength(1 - streams);
  });

  it.each<[string, (up: RawUpstreamConnection) => void]>([
    ['headers have come', (up) => up.headers(1, GRPC_HEADERS, false)],
    ['informational headers have come', (up) => up.headers(1, [':status', '103'], false)],
  ])('is not sent again once %s', async (_, answer) => {
    await start();
    const call = owner();
    open(call).sendEnd(EVIDENCE);
    await eventually('the stream', whole(1));
    const [up] = upstream.connections;
    if (up === undefined) throw new Error('no connection');
    answer(up);
    up.reset(1, REFUSED_STREAM);
    await eventually('the failure', () => call.failures.length === 1);
    expect(up.opened).toEqual([1]);
  });

  it.each([
    ['a reset that says nothing of the kind', (up: RawUpstreamConnection) => up.reset(1, 2)],
    ['the end of the connection', (up: RawUpstreamConnection) => up.socket.destroy()],
    ['a GOAWAY that includes it, and the end', (up: RawUpstreamConnection) => void (up.goaway(1, 0), up.socket.end())],
  ])('is not one that ends by %s', async (_, end) => {
    await start();
    const call = owner();
    open(call).sendEnd(EVIDENCE);
    await eventually('the stream', whole(1));
    const [up] = upstream.connections;
    if (up === undefined) throw new Error('no connection');
    end(up);
    await eventually('the failure', () => call.failures.length === 1);
    await delay(20);
    expect(upstream.connections.flatMap(({ opened }) => opened)).toEqual([1]);
    expect(account.used).toBe(0);
  });

  it('is not sent again for a call that was cancelled, and holds nothing of it', async () => {
    await start();
    const call = owner();
    const leg = open(call);
    leg.sendPart(Buffer.alloc(100));
    await eventually('the stream', () => bodyOf(1) === 100);
    expect(pool.replays.slabs).toBe(1);
    leg.cancel();
    expect([pool.replays.slabs, account.used]).toEqual([0, 0]);
    upstream.connections[0]?.reset(1, REFUSED_STREAM);
    await delay(20);
    expect([upstream.connections[0]?.opened, call.failures]).toEqual([[1], []]);
  });
});
