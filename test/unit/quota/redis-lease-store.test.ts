/** What no real Redis does when it is told to: the real ones are in test/e2e. */
import { createServer, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import type { WindowRequest } from '../../../src/quota/lease-store.ts';
import { RedisLeaseStore } from '../../../src/quota/redis-lease-store.ts';

const REQUEST: WindowRequest = {
  key: 'k',
  process: 'p',
  first: 0,
  mark: 1,
  limit: 10,
  want: 1,
  least: 0,
  leaseMs: 1_000,
  settling: 1,
  birthMs: 0,
  reports: [],
};
const INFO = 'redis_version:7.0.0\r\nloading:0\r\nrole:master\r\n';
const ANSWER = '*6\r\n:1\r\n:1\r\n:9\r\n:1\r\n:1\r\n:0\r\n';

/** Lets clients connect, and answers their scripts or says nothing. Returns its address. */
async function redisThat(answers: boolean): Promise<{ readonly host: string; readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      for (const [, command = ''] of data.toString('latin1').matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        if (command === 'info') socket.write(`$${INFO.length}\r\n${INFO}\r\n`);
        else if (command !== 'evalsha') socket.write('+OK\r\n');
        else if (answers) socket.write(ANSWER);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { host: '127.0.0.1', port: address.port };
}

it('a server that is gone without a word is left for the next', async () => {
  const addresses = [await redisThat(false), await redisThat(true)];
  const store = new RedisLeaseStore({
    namespace: 'bulkhead',
    timeoutMs: 50,
    redis: {
      addresses,
      cluster: false,
      database: 0,
      protocol: 2,
      tls: undefined,
      username: undefined,
      password: undefined,
    },
  });
  onTestFinished(() => store.close());
  await store.connected(5_000);
  expect(await store.window(REQUEST)).toMatchObject({ ok: false, error: { why: 'timeout' } });
  await expect.poll(() => store.window(REQUEST), { timeout: 10_000, interval: 20 }).toMatchObject({ ok: true });
});
