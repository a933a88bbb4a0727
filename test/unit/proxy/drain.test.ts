import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Drain, letQueueIn } from '../../../src/proxy/drain.ts';

const WAITING = 20;

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A server with clients that the kernel has let in and the server not yet. */
async function crowded(): Promise<{ readonly server: Server; readonly ends: Promise<string>[] }> {
  const server = createServer();
  server.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write('welcome');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  const ends = Array.from({ length: WAITING }, () => {
    const socket = connect(address.port, '127.0.0.1');
    sockets.push(socket);
    return new Promise<string>((resolve) => {
      socket.once('data', (chunk) => resolve(chunk.toString()));
      socket.once('error', (error) => resolve(error.message));
      socket.once('close', () => resolve('closed'));
    });
  });
  // The sockets connect at the end of this tick; the server's turn has not come before the next poll.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  return { server, ends };
}

describe('a listening socket that is closed', () => {
  it('turns nobody away who had connected, once its queue is let in', async () => {
    const { server, ends } = await crowded();
    await letQueueIn(server);
    server.close();
    expect(await Promise.all(ends)).toEqual(Array.from({ length: WAITING }, () => 'welcome'));
  });

  it('would turn them away', async () => {
    const { server, ends } = await crowded();
    server.close();
    expect(new Set(await Promise.all(ends))).not.toContain('welcome');
  });
});

describe('a drain', () => {
  it('is over when all have left', async () => {
    let left = 2;
    const drain = new Drain(() => left === 0);
    drain.within(60_000);
    left = 1;
    drain.check();
    left = 0;
    drain.check();
    await drain.over;
  });

  it('is over at its limit, which can come closer and not farther', async () => {
    const drain = new Drain(() => false);
    drain.within(60_000);
    drain.within(0);
    drain.within(60_000);
    await drain.over;
  });
});
