import { randomBytes } from 'node:crypto';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { duplexPair } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { Http2Connection } from '../../../src/http2/connection.ts';
import type { Connection, Stream } from '../../../src/http2/contract.ts';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { buffers, dial, echo, eventually, options, REQUEST, serve, turn } from './loopback.ts';
import { RecordingConnectionOwner, RecordingStreamOwner } from './recording-owner.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function pair(answer = echo, server = {}, client = {}) {
  const side = await serve(answer, server);
  closers.push(() => side.close());
  const dialled = await dial(side.port, client);
  closers.push(() => dialled.socket.destroy());
  return { side, ...dialled };
}

function call(connection: Connection, body: Buffer): { stream: Stream; owner: RecordingStreamOwner } {
  const owner = new RecordingStreamOwner();
  const stream = connection.open(REQUEST, false, owner);
  stream.sendData(body, true);
  return { stream, owner };
}

describe('a connection between two engines', () => {
  test('carries a call and its trailers', async () => {
    const { connection, owner, side } = await pair();
    const one = call(connection, Buffer.from('hello'));
    await one.owner.whenEnded();
    expect(one.owner.headers).toEqual([
      { block: [':status', '200', 'content-type', 'application/grpc'], endStream: false },
      { block: ['grpc-status', '0'], endStream: true },
    ]);
    expect(one.owner.body.toString()).toBe('hello');
    expect(one.owner.localEnds).toBe(1);
    expect(side.owners[0]?.streams[0]?.block).toEqual(REQUEST);
    expect(connection.openStreams).toBe(0);
    await eventually(() => side.connections[0]?.openStreams === 0);
    expect(owner.ends).toEqual([]);
  });

  test('carries bodies larger than every window, both ways at once', async () => {
    const { connection } = await pair();
    const bodies = Array.from({ length: 8 }, () => randomBytes(700_000));
    const calls = bodies.map((body) => call(connection, body));
    await Promise.all(calls.map(({ owner }) => owner.whenEnded()));
    for (const [index, { owner, stream }] of calls.entries()) {
      expect(owner.resets).toEqual([]);
      expect(owner.body.equals(bodies[index] ?? Buffer.alloc(0))).toBe(true);
      expect(owner.written).toBe(700_000);
      expect(stream.queuedBytes).toBe(0);
    }
  });

  test('frozen blocks that are sent again and again arrive as they are, beside others', async () => {
    const blocks = Array.from({ length: 80 }, (_, index) =>
      Object.freeze([':status', '200', 'x-kind', `${index % 70}`]),
    );
    let answered = 0;
    const { connection } = await pair((stream) => {
      stream.sendHeaders(blocks[answered++ % blocks.length] ?? [], false);
      stream.sendHeaders(['x-call', `${answered}`], true);
    });
    for (let round = 0; round < 240; round++) {
      const owner = new RecordingStreamOwner();
      connection.open(REQUEST, true, owner);
      await owner.whenEnded();
      expect(owner.headers.map(({ block }) => block)).toEqual([blocks[round % 80], ['x-call', `${round + 1}`]]);
    }
  });

  test('many calls at once, and no more than the server allows', async () => {
    const { connection, side } = await pair(echo, { maxConcurrentStreams: 7 });
    expect(connection.availableStreams).toBe(7);
    let most = 0;
    const all = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        let owner = new RecordingStreamOwner();
        await eventually(() => {
          if (connection.availableStreams === 0) return false;
          owner = call(connection, Buffer.from(`call ${index}`)).owner;
          return true;
        });
        most = Math.max(most, side.connections[0]?.openStreams ?? 0);
        await owner.whenEnded();
        return owner.body.toString();
      }),
    );
    expect(all).toEqual(Array.from({ length: 200 }, (_, index) => `call ${index}`));
    expect(most).toBeLessThanOrEqual(7);
    expect(side.owners[0]?.streams.length).toBe(200);
  });

  test('a sender whose bytes are not credited stops at the window, to the byte', async () => {
    const { connection, side } = await pair(
      (stream, _block, _end, owner) => {
        owner.credits = false;
        stream.sendHeaders([':status', '200'], false);
      },
      { streamWindowBytes: 20_000 },
    );
    const { owner, stream } = call(connection, randomBytes(100_000));
    const received = () => side.owners[0]?.streams[0]?.owner.body.length ?? 0;
    await eventually(() => received() === 20_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(received()).toBe(20_000);
    expect(owner.written).toBe(20_000);
    expect(stream.queuedBytes).toBe(80_000);
    side.owners[0]?.streams[0]?.stream.credit(9_999);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(received(), 'less than half of the window is not announced').toBe(20_000);
    side.owners[0]?.streams[0]?.stream.credit(1);
    await eventually(() => received() === 30_000);
  });

  test('a reset by either side reaches the other once, and frees the stream', async () => {
    const { connection, side } = await pair(() => {});
    const { owner, stream } = call(connection, Buffer.from('x'));
    await eventually(() => side.owners[0]?.streams[0] !== undefined);
    stream.reset(ErrorCode.CANCEL);
    const served = side.owners[0]?.streams[0];
    await served?.owner.until(() => served.owner.resets.length > 0);
    expect(served?.owner.resets).toEqual([{ by: 'peer', code: ErrorCode.CANCEL }]);
    expect(owner.resets).toEqual([]);
    const second = call(connection, Buffer.from('y'));
    await eventually(() => side.owners[0]?.streams[1] !== undefined);
    side.owners[0]?.streams[1]?.stream.reset(ErrorCode.INTERNAL_ERROR);
    await second.owner.whenEnded();
    expect(second.owner.resets).toEqual([{ by: 'peer', code: ErrorCode.INTERNAL_ERROR }]);
    expect(connection.openStreams + (side.connections[0]?.openStreams ?? 0)).toBe(0);
  });

  test('an early answer with refuseRest lets the client read it whole', async () => {
    const { connection, side } = await pair((stream) => {
      stream.sendHeaders([':status', '200', 'grpc-status', '8'], true);
      stream.refuseRest();
    });
    const owner = new RecordingStreamOwner();
    connection.open(REQUEST, false, owner);
    await owner.until(() => owner.resets.length > 0);
    expect(owner.headers).toEqual([{ block: [':status', '200', 'grpc-status', '8'], endStream: true }]);
    expect(owner.resets).toEqual([{ by: 'peer', code: ErrorCode.NO_ERROR }]);
    expect(side.owners[0]?.streams[0]?.owner.localEnds).toBe(1);
  });

  test('draining a server finishes what runs and then closes', async () => {
    const { connection, side, owner } = await pair(() => {});
    const running = call(connection, Buffer.from('slow'));
    await eventually(() => side.owners[0]?.streams.length === 1);
    side.connections[0]?.drain();
    await eventually(() => owner.goaways.length === 2);
    expect(owner.goaways.map(({ lastStreamId }) => lastStreamId)).toEqual([2 ** 31 - 1, 1]);
    expect(connection.availableStreams).toBe(0);
    expect(owner.ends).toEqual([]);
    side.owners[0]?.streams[0]?.stream.sendHeaders([':status', '200'], true);
    await running.owner.whenEnded();
    expect(running.owner.resets).toEqual([]);
    expect(await owner.ended).toEqual({ kind: 'closed' });
    expect(await side.owners[0]?.ended).toEqual({ kind: 'closed' });
  });

  test('destroying a connection resets every stream before it ends', async () => {
    const { connection, side, owner } = await pair(() => {});
    const one = call(connection, Buffer.from('x'));
    await eventually(() => side.owners[0]?.streams.length === 1);
    connection.destroy(ErrorCode.INTERNAL_ERROR, 'the test says so');
    const end = { kind: 'destroyed', why: 'the test says so' };
    expect(owner.ends).toEqual([end]);
    expect(one.owner.resets).toEqual([{ by: 'connection', end, unprocessed: false }]);
    await side.owners[0]?.ended;
    expect(side.owners[0]?.goaways).toEqual([{ lastStreamId: 0, code: ErrorCode.INTERNAL_ERROR }]);
  });

  test('a socket that dies ends the connection', async () => {
    const { connection, side, owner } = await pair(() => {});
    const one = call(connection, Buffer.from('x'));
    await eventually(() => side.owners[0]?.streams.length === 1);
    side.sockets[0]?.destroy();
    await owner.ended;
    expect(one.owner.resets).toHaveLength(1);
    await eventually(() => side.owners[0]?.ends.length === 1);
  });

  test('a socket that was dead when it was handed over ends the connection', async () => {
    const [socket] = duplexPair();
    socket.on('error', () => {});
    socket.destroy(new Error('gone'));
    await new Promise((resolve) => socket.once('close', resolve));
    const owner = new RecordingConnectionOwner();
    new Http2Connection(socket, options('server'), owner, turn, buffers);
    expect(await owner.ended).toMatchObject({ kind: 'socket_error' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(owner.ends).toHaveLength(1);
  });

  test('a connection without streams ends at its idle limit', async () => {
    const { owner } = await pair(echo, { idleTimeoutMs: 60 });
    expect(await owner.ended).toEqual({ kind: 'closed' });
    expect(owner.goaways).toEqual([{ lastStreamId: 0, code: ErrorCode.NO_ERROR }]);
  });
});

describe('an engine server', () => {
  test('answers node:http2', async () => {
    const side = await serve(echo);
    closers.push(() => side.close());
    const session = http2.connect(`http://127.0.0.1:${side.port}`);
    closers.push(() => session.destroy());
    const body = randomBytes(300_000);
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const request = session.request({ ':method': 'POST', ':path': '/a.B/C', 'x-custom': 'v' });
        const chunks: Buffer[] = [];
        let trailers: http2.IncomingHttpHeaders = {};
        request.on('trailers', (received) => {
          trailers = received;
        });
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.end(body);
        await new Promise((resolve, reject) => request.on('end', resolve).on('error', reject));
        return { same: Buffer.concat(chunks).equals(body), status: trailers['grpc-status'] };
      }),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, () => ({ same: true, status: '0' })));
    await new Promise<void>((resolve) => session.close(resolve));
  });
});

describe('an engine client', () => {
  test('calls node:http2', async () => {
    const server = http2.createServer();
    server.on('stream', (stream: http2.ServerHttp2Stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    const { connection, socket } = await dial((server.address() as AddressInfo).port);
    closers.push(() => socket.destroy());
    const body = randomBytes(300_000);
    const calls = Array.from({ length: 20 }, () => call(connection, body));
    await Promise.all(calls.map(({ owner }) => owner.whenEnded()));
    for (const { owner } of calls) {
      expect(owner.resets).toEqual([]);
      expect(owner.body.equals(body)).toBe(true);
      expect(owner.headers[1]?.block).toEqual(['grpc-status', '0']);
    }
  });
});
