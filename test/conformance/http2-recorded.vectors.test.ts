/** The client streams that nghttp2's fuzzers kept (some sane, most broken): each ends in a close, and harms nobody else. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dial, REQUEST } from '../unit/http2/loopback.ts';
import { RecordingStreamOwner } from '../unit/http2/recording-owner.ts';
import { serveEcho } from './h2-echo.ts';
import { vectorFiles } from './vectors.ts';

const IDLE_LIMIT_MS = 150;

let server: Server;
const open = new Set<Socket>();

beforeAll(async () => {
  server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    serveEcho(
      socket,
      { lingerMs: 100, settingsAckTimeoutMs: 300, serverKeepaliveMs: 150, keepaliveTimeoutMs: 100 },
      IDLE_LIMIT_MS,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  for (const socket of open) socket.destroy();
  server.close();
});

const port = (): number => (server.address() as AddressInfo).port;

/** Sends the recording and never acknowledges or closes anything. Resolves when the server has closed. */
function replay(recording: Buffer): Promise<'closed'> {
  return new Promise((resolve) => {
    const socket = connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(recording));
    socket.resume();
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => resolve('closed'));
  });
}

async function healthyCall(): Promise<string> {
  const { connection, socket } = await dial(port());
  const owner = new RecordingStreamOwner();
  connection.open(REQUEST, false, owner).sendData(Buffer.from('still here?'), true);
  await owner.whenEnded();
  socket.destroy();
  return owner.body.toString();
}

describe.each([
  ['h2spec', 133],
  ['nghttp', 3],
])('recorded streams of %s', (set, count) => {
  const files = vectorFiles(`nghttp2-fuzz/fuzz/corpus/${set}`);

  test('are all there', () => expect(files.length).toBe(count));

  test.concurrent.each(files.map((file) => [basename(file), file]))('%s', async (_name, file) => {
    expect(await replay(readFileSync(file))).toBe('closed');
    expect(await healthyCall()).toBe('still here?');
  });
});
