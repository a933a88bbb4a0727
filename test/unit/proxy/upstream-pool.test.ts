import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import type { Connection, StreamOwner } from '../../../src/http2/contract.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { UpstreamPool, type Waiter } from '../../../src/proxy/upstream-pool.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { eventually } from '../../fakes/hostile-ground.ts';
import { RawUpstream, type RawUpstreamConnection, type RawUpstreamOptions } from '../../fakes/raw-upstream.ts';

const REQUEST = [':method', 'POST', ':scheme', 'http', ':path', '/a.B/C', ':authority', 'a'];
const SILENT: StreamOwner = {
  onHeaders: () => undefined,
  onData: (stream, chunk) => stream.credit(chunk.length),
  onReset: () => undefined,
  onWritten: () => undefined,
  onLocalEnd: () => undefined,
};

/** A call that opens a stream as soon as it may. */
class Caller implements Waiter {
  connection: Connection | undefined;
  denial: Denial | undefined;

  connected(connection: Connection): void {
    this.connection = connection;
    connection.open(REQUEST, true, SILENT);
  }

  failed(denial: Denial): void {
    this.denial = denial;
  }
}

let upstream: RawUpstream;
let pool: UpstreamPool;
afterEach(async () => {
  pool.destroy('the test has ended');
  await upstream.stop();
});

async function start(
  changes: Parameters<RawUpstream['config']>[0] = {},
  options: RawUpstreamOptions = {},
  random = 0.5,
): Promise<void> {
  upstream = await RawUpstream.start(options);
  // Answers nothing: streams stay open.
  upstream.script = () => undefined;
  pool = poolOf(upstream.config(changes), random);
}

function poolOf(config: ReturnType<RawUpstream['config']>, random = 0.5): UpstreamPool {
  return new UpstreamPool({
    config,
    turn: new Turn(systemClock),
    buffers: new OutputBufferPool(),
    account: new ByteAccount(attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0), 0, 1_000_000),
    streamWindowBytes: 65_535,
    connectionWindowBytes: 1024 * 1024,
    maxHeaderListBytes: 16_384,
    random: () => random,
  });
}

function call(): Caller {
  const caller = new Caller();
  const connection = pool.acquire(caller);
  if (connection !== undefined) caller.connected(connection);
  return caller;
}

describe('the pool', () => {
  it('connects when the first call asks, and one connection serves as many as the peer allows', async () => {
    await start({}, { maxConcurrentStreams: 3 });
    await delay(20);
    expect(upstream.connections).toHaveLength(0);
    const first = call();
    await eventually('a connection', () => first.connection?.availableStreams === 2);
    call();
    call();
    await delay(20);
    expect(upstream.connections).toHaveLength(1);
  });

  it('grows by one when every connection is full, up to its limit and no further', async () => {
    await start({ maxConnections: 2, maxPendingCalls: 2 }, { maxConcurrentStreams: 1 });
    const callers = [call()];
    await eventually('the first', () => callers[0]?.connection?.availableStreams === 0);
    callers.push(call());
    await eventually('the second', () => callers[1]?.connection?.availableStreams === 0);
    callers.push(call(), call());
    await delay(30);
    expect(upstream.connections).toHaveLength(2);
    expect(callers.slice(2).map(({ connection, denial }) => [connection, denial])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
    // n waiting calls wait; n + 1 is told at once.
    expect(call().denial).toMatchObject({ kind: 'overloaded' });
    const [held] = upstream.connections;
    held?.answer(1);
    await eventually('the first that waits is served', () => callers[2]?.connection !== undefined);
    expect(callers[3]?.connection).toBeUndefined();
  });

  it('forgets a call that no longer waits, and has its place for another', async () => {
    await start({ maxPendingCalls: 1 });
    const waiting = call();
    expect(call().denial).toMatchObject({ kind: 'overloaded' });
    pool.cancel(waiting);
    const next = call();
    await eventually('a connection', () => next.connection !== undefined);
    expect([waiting.connection, waiting.denial, next.denial]).toEqual([undefined, undefined, undefined]);
  });

  it('opens no more on a connection that has said GOAWAY', async () => {
    await start();
    const first = call();
    await eventually('a connection', () => first.connection !== undefined && upstream.connections.length === 1);
    await eventually('its stream', () => upstream.connections[0]?.opened.length === 1);
    upstream.connections[0]?.goaway(1, 0);
    await eventually('the word', () => first.connection?.acceptsStreams === false);
    const second = call();
    await eventually('another connection', () => second.connection !== undefined);
    expect(second.connection).not.toBe(first.connection);
  });
});

describe('an upstream that cannot be reached', () => {
  it('refuses whoever waits, then everybody at once, until the back-off is over', async () => {
    await start();
    await upstream.stop();
    const first = call();
    await eventually('the refusal', () => first.denial !== undefined);
    expect(first.denial).toMatchObject({ kind: 'upstream_unavailable' });
    expect(String(Object.values(first.denial ?? {}))).toContain('ECONNREFUSED');
    expect(call().denial).toMatchObject({ kind: 'upstream_unavailable' });
    // 100 ms at first; the jitter of 0.5 is its middle.
    await delay(110);
    const later = call();
    expect(later.denial).toBeUndefined();
    await eventually('the next refusal', () => later.denial !== undefined);
    // Doubled.
    await delay(110);
    expect(call().denial).toMatchObject({ kind: 'upstream_unavailable' });
  });

  it('is one that accepts and hangs up, too', async () => {
    await start({}, { mute: true });
    let accepted = 0;
    upstream.onConnection = ({ socket }) => {
      accepted++;
      socket.destroy();
    };
    const first = call();
    await eventually('the refusal', () => first.denial !== undefined);
    expect(first.denial).toMatchObject({ kind: 'upstream_unavailable', why: 'closed before it said anything' });
    const denials = Array.from({ length: 50 }, () => call().denial?.kind);
    expect(new Set(denials)).toEqual(new Set(['upstream_unavailable']));
    expect(accepted).toBe(1);
    // It is tried again after the back-off, which is then twice as long.
    await delay(120);
    const later = call();
    await eventually('the next refusal', () => later.denial !== undefined);
    expect(accepted).toBe(2);
  });

  it.each([
    ['goes away', 'went away before it took a call', (up: RawUpstreamConnection) => up.goaway(0, 0)],
    ['hangs up', 'closed before it took a call', (up: RawUpstreamConnection) => up.socket.end()],
  ])('is one that allows no stream and then %s, too', async (_name, why, leave) => {
    await start({}, { maxConcurrentStreams: 0 });
    upstream.onConnection = (up) => setImmediate(() => leave(up));
    const first = call();
    await eventually('the refusal', () => first.denial !== undefined);
    expect(first.denial).toMatchObject({ kind: 'upstream_unavailable', why });
    expect(call().denial).toMatchObject({ kind: 'upstream_unavailable', why });
    // However many calls come, it is tried a few times at most: after 100 ms, and then twice as long each time.
    for (const began = performance.now(); performance.now() - began < 300; ) {
      const next = call();
      await eventually('another refusal', () => next.denial !== undefined);
    }
    expect(upstream.connections.length).toBeLessThan(12);
  });

  it('is not one that goes away while no call waits', async () => {
    await start({ minConnections: 1 });
    await eventually('one', () => upstream.connections.length === 1);
    await delay(20);
    upstream.connections[0]?.goaway(0, 0);
    await delay(20);
    const next = call();
    await eventually('another', () => next.connection !== undefined);
    expect(next.denial).toBeUndefined();
  });

  it('is one that does not answer within the time', async () => {
    // Nobody accepts from a full backlog; a test cannot fill one, so TLS waits for a server that says nothing.
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await start();
    pool = poolOf({
      ...upstream.config({ connectTimeoutMs: 50 }),
      target: { kind: 'tcp', host: '127.0.0.1', port },
      tls: { caPem: undefined, serverName: 'model', clientCertificate: undefined },
    });
    const caller = call();
    await eventually('the refusal', () => caller.denial !== undefined);
    expect(caller.denial).toMatchObject({ kind: 'upstream_unavailable', why: 'no connection within 50 ms' });
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
});

describe('a new connection', () => {
  it('has no call before the server has said what it allows, and then no more than that', async () => {
    await start({ maxConnections: 4 }, { maxConcurrentStreams: 1 });
    let refused = 0;
    upstream.script = (up, id) => {
      const open = up.opened.length - up.answered;
      if (open > 1) {
        refused++;
        up.reset(id, 7);
      } else setImmediate(() => up.answer(id));
    };
    const callers = Array.from({ length: 50 }, () => call());
    const opened = (): number => upstream.connections.reduce((sum, connection) => sum + connection.opened.length, 0);
    await eventually('all are served', () => opened() === 50);
    expect(callers.filter(({ connection }) => connection === undefined)).toEqual([]);
    expect([refused, upstream.connections.length]).toEqual([0, 4]);
  });

  it('on which the server says nothing fails whoever waits when the time for a connect is over', async () => {
    await start({ connectTimeoutMs: 60 }, { mute: true });
    const waiting = Array.from({ length: 3 }, () => call());
    await eventually('the refusals', () => waiting.every(({ denial }) => denial !== undefined));
    expect(waiting[2]?.denial).toMatchObject({ kind: 'upstream_unavailable', why: 'no SETTINGS within 60 ms' });
    await eventually('its end', () => upstream.connections[0]?.socket.readableEnded === true);
    expect(upstream.connections).toHaveLength(1);
  });

  it('that does not come about beside others is tried again after the back-off, while calls wait for the others', async () => {
    await start({ maxConnections: 3 }, { maxConcurrentStreams: 1 });
    const first = call();
    await eventually('the first', () => upstream.connections[0]?.opened.length === 1);
    upstream.hangsUp = true;
    const second = call();
    await eventually('one that hangs up', () => upstream.hungUp === 1);
    for (let i = 0; i < 20; i++) call();
    await delay(50);
    // 100 ms at first; the jitter of 0.5 is its middle.
    expect(upstream.hungUp).toBe(1);
    await eventually('another try, without another call', () => upstream.hungUp === 2);
    upstream.connections[0]?.answer(1);
    await eventually('the first to wait is served', () => second.connection !== undefined);
    expect(second.connection).toBe(first.connection);
  });

  it('is closed with its pool', async () => {
    await start({}, { mute: true });
    const waiting = call();
    await eventually('a connection', () => upstream.connections.length === 1);
    await delay(20);
    pool.destroy('the test says so');
    await eventually('its end', () => upstream.connections[0]?.socket.readableEnded === true);
    expect(waiting.denial).toEqual({ kind: 'draining' });
  });
});

describe('a connection without calls', () => {
  const ended = (index: number) => (): boolean => upstream.connections[index]?.socket.readableEnded === true;

  it('is closed after its time, not before, and the next call has another', async () => {
    await start({ idleTimeoutMs: 150 });
    const first = call();
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 1);
    // A call that runs keeps it.
    await delay(200);
    expect(ended(0)()).toBe(false);
    upstream.connections[0]?.answer(1);
    await delay(100);
    expect(ended(0)()).toBe(false);
    await eventually('its end', ended(0));
    const second = call();
    await eventually('another', () => second.connection !== undefined);
    expect(second.connection).not.toBe(first.connection);
    expect(second.denial).toBeUndefined();
  });

  it('is one of those that are kept: made before the first call, and not closed', async () => {
    await start({ minConnections: 2, idleTimeoutMs: 50 }, { maxConcurrentStreams: 1 });
    await eventually('two', () => upstream.connections.length === 2);
    const callers = [call(), call(), call()];
    // The third is beyond them.
    await eventually('three', () => upstream.connections.length === 3);
    await eventually('their streams', () => upstream.connections.every(({ opened }) => opened.length === 1));
    for (const connection of upstream.connections) connection.answer(1);
    await eventually('the end of the third', ended(2));
    await delay(100);
    expect([ended(0)(), ended(1)()]).toEqual([false, false]);
    expect(callers.map(({ denial }) => denial)).toEqual([undefined, undefined, undefined]);
  });

  it('that is kept is replaced when it ends or goes away, after a pause', async () => {
    // The least of the jitter: half a second.
    await start({ minConnections: 1 }, {}, 0);
    await eventually('one', () => upstream.connections.length === 1);
    await delay(20);
    upstream.connections[0]?.socket.destroy();
    await delay(300);
    expect(upstream.connections).toHaveLength(1);
    await eventually('another', () => upstream.connections.length === 2);
    await delay(20);
    upstream.connections[1]?.goaway(0, 0);
    await eventually('a third', () => upstream.connections.length === 3);
  });

  it('is not replaced in a pool that is drained', async () => {
    await start({ minConnections: 1 }, {}, 0);
    await eventually('one', () => upstream.connections.length === 1);
    await delay(20);
    pool.drain();
    await eventually('its end', ended(0));
    await delay(600);
    expect(upstream.connections).toHaveLength(1);
  });

  it('is tried for again while the server cannot be reached', async () => {
    await start();
    const config = upstream.config({ minConnections: 1 });
    await upstream.stop();
    pool = poolOf(config, 0);
    await delay(100);
    const port = config.target.kind === 'tcp' ? config.target.port : 0;
    let accepted = 0;
    const server = createServer((socket) => {
      accepted++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    await eventually('another try', () => accepted === 1);
    pool.destroy('enough');
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
});

describe('a pool that is drained', () => {
  it('serves calls that already hold it to their end, then closes', async () => {
    await start({}, { maxConcurrentStreams: 10 });
    const running = call();
    await eventually('a connection', () => running.connection?.availableStreams === 9);
    pool.drain();
    const late = call();
    await eventually('the late call', () => late.connection !== undefined);
    await eventually('both streams', () => upstream.connections.flatMap(({ opened }) => opened).length === 2);
    expect([running.denial, late.denial]).toEqual([undefined, undefined]);
    for (const connection of upstream.connections) for (const id of connection.opened) connection.answer(id);
    await eventually('their end', () => upstream.connections.every(({ socket }) => socket.readableEnded));
  });

  it('closes what is idle at once, and what nobody wants any more when it has come', async () => {
    await start();
    const first = call();
    await eventually('a stream', () => upstream.connections[0]?.opened.length === 1);
    upstream.connections[0]?.answer(1);
    await eventually('idle', () => first.connection?.openStreams === 0);
    pool.drain();
    await eventually('its end', () => upstream.connections[0]?.socket.readableEnded === true);
    const late = call();
    pool.cancel(late);
    await eventually('a connection for nobody', () => upstream.connections.length === 2);
    await eventually('its end', () => upstream.connections[1]?.socket.readableEnded === true);
  });

  it('refuses when it is destroyed', async () => {
    await start();
    const waiting = call();
    pool.destroy('the test says so');
    expect([waiting.denial, call().denial]).toEqual([{ kind: 'draining' }, { kind: 'draining' }]);
  });
});
