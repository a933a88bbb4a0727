import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameClient } from '../../fakes/frame-client.ts';
import { eventually, HostileGround } from '../../fakes/hostile-ground.ts';

let ground: HostileGround;

/** Connects, and says nothing. */
async function silentSocket(port: number): Promise<Socket> {
  const socket = createConnection(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  return socket;
}

/** The first record of a client of acme's: it is taken from one that speaks to somebody who only listens. */
async function helloOf({ acme }: HostileGround): Promise<Buffer> {
  const ear = createServer();
  await once(ear.listen(0, '127.0.0.1'), 'listening');
  const address = ear.address();
  if (address === null || typeof address === 'string') throw new Error('it does not listen');
  const heard = once(ear, 'connection').then(([socket]: Socket[]) => once(socket ?? ear, 'data'));
  const client = connectTls({
    port: address.port,
    host: '127.0.0.1',
    servername: acme.pki.serverName,
    ALPNProtocols: ['h2'],
  });
  client.on('error', () => undefined);
  const [hello]: unknown[] = await heard;
  client.destroy();
  ear.close();
  if (!Buffer.isBuffer(hello)) throw new Error('it said nothing');
  return hello;
}
/** Whatever it ends by: who is cut off while it writes sees a reset. */
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });

const clients: FrameClient[] = [];

/** Undefined when the door was closed in its face. */
async function connect(tenant = ground.acme): Promise<FrameClient | undefined> {
  const client = await FrameClient.connect(ground.access(tenant)).catch(() => undefined);
  if (client !== undefined) clients.push(client);
  return client;
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await ground.stop();
});

describe('the listener', () => {
  it('takes as many connections as it may, and records the one that is too many', async () => {
    ground = await HostileGround.start({ limits: { maxConnections: 2 } });
    await connect();
    await connect();
    await eventually('two connections', () => ground.sidecar.listener.connections === 2);
    expect(await connect()).toBe(undefined);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'CONNECTION_LIMIT', peerAddress: '127.0.0.1', count: 1 },
    ]);
  });

  it('takes as many connections of a tenant as it may, and of another tenant still', async () => {
    ground = await HostileGround.start({ limits: { maxConnectionsPerTenant: 2 } });
    for (let index = 0; index < 3; index++) await connect();
    await eventually('the third is closed', () => clients[2]?.closed === true);
    expect(clients.map((client) => client.closed)).toEqual([false, false, true]);
    await connect(ground.globex);
    await eventually('three connections', () => ground.sidecar.listener.connections === 3);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'CONNECTION_LIMIT_TENANT', tenantClaim: 'acme', peerAddress: '127.0.0.1', count: 1 },
    ]);
  });

  it('takes as many connections of an address as it may', async () => {
    ground = await HostileGround.start({ limits: { maxConnectionsPerAddress: 2 } });
    await connect(ground.acme);
    await connect(ground.globex);
    await connect(ground.globex);
    await eventually('the third is closed', () => clients[2]?.closed === true);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'CONNECTION_LIMIT_ADDRESS', peerAddress: '127.0.0.1', count: 1 },
    ]);
    clients[0]?.close();
    await eventually('one connection', () => ground.sidecar.listener.connections === 1);
    await connect();
    await eventually('two again', () => ground.sidecar.listener.connections === 2);
  });

  it('lets the oldest handshake give way when there are too many', async () => {
    ground = await HostileGround.start({ limits: { maxHandshakes: 2 } });
    const silent = await Promise.all([0, 1, 2].map(() => silentSocket(ground.sidecar.port)));
    await eventually('the oldest is closed', () => silent.some((socket) => socket.destroyed));
    expect(silent.filter((socket) => socket.destroyed)).toHaveLength(1);
    await connect();
    await eventually('a tenant is let in', () => ground.sidecar.listener.connections === 1);
    expect((await ground.sidecar.refusals()).map(({ reason, count }) => [reason, count])).toContainEqual([
      'HANDSHAKE_LIMIT',
      2,
    ]);
    for (const socket of silent) socket.destroy();
  });

  it('leaves as many handshakes as there may be alone', async () => {
    ground = await HostileGround.start({ limits: { maxHandshakes: 3 } });
    const silent = await Promise.all([0, 1].map(() => silentSocket(ground.sidecar.port)));
    await connect();
    await eventually('a tenant is let in', () => ground.sidecar.listener.connections === 1);
    expect(silent.some((socket) => socket.destroyed)).toBe(false);
    expect(await ground.sidecar.refusals()).toEqual([]);
    for (const socket of silent) socket.destroy();
  });

  it.each([
    ['nothing', []],
    ['the beginning of a hello', [Buffer.of(22, 3, 1, 2, 0, 1)]],
    ['a hello octet by octet', Array.from({ length: 200 }, () => Buffer.of(22))],
  ])('ends a handshake at its time, counted from when it connected, and not before: %s', async (_what, said) => {
    ground = await HostileGround.start({ limits: { handshakeTimeoutMs: 300 } });
    const from = performance.now();
    const socket = await silentSocket(ground.sidecar.port);
    const dribble = setInterval(() => {
      const next = said.shift();
      if (next !== undefined) socket.write(next);
    }, 10);
    await closed(socket);
    clearInterval(dribble);
    // Timers may be a millisecond early.
    expect(performance.now() - from).toBeGreaterThanOrEqual(299);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'TLS_HANDSHAKE_TIMEOUT', detail: 'no hello', peerAddress: '127.0.0.1', count: 1 },
    ]);
  });

  it('ends one that goes silent after its hello with the time that it has had, and says so once', async () => {
    ground = await HostileGround.start({ limits: { handshakeTimeoutMs: 300 } });
    const hello = await helloOf(ground);
    const socket = await silentSocket(ground.sidecar.port);
    socket.write(hello);
    await once(socket, 'data');
    await closed(socket);
    expect(await ground.sidecar.refusals()).toMatchObject([
      {
        reason: 'TLS_HANDSHAKE_TIMEOUT',
        detail: 'after its hello',
        tenantClaim: 'acme',
        peerAddress: '127.0.0.1',
        count: 1,
      },
    ]);
  });

  it('leaves a handshake alone that takes long, and goes on within its time', async () => {
    ground = await HostileGround.start({ limits: { handshakeTimeoutMs: 60_000 } });
    const hello = await helloOf(ground);
    const socket = await silentSocket(ground.sidecar.port);
    socket.write(hello.subarray(0, 100));
    await delay(400);
    expect(socket.destroyed).toBe(false);
    socket.write(hello.subarray(100));
    const [answer]: unknown[] = await once(socket, 'data');
    // A handshake record: the server's hello.
    expect(Buffer.isBuffer(answer) ? answer[0] : undefined).toBe(22);
    socket.destroy();
  });

  it('has OpenSSL say what is wrong with what is no handshake', async () => {
    ground = await HostileGround.start();
    const socket = await silentSocket(ground.sidecar.port);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await closed(socket);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'TLS_HANDSHAKE_FAILED', detail: 'ERR_SSL_HTTP_REQUEST', count: 1 },
    ]);
  });

  it('records one that leaves before its hello, once', async () => {
    ground = await HostileGround.start();
    const socket = await silentSocket(ground.sidecar.port);
    socket.end();
    await closed(socket);
    expect(await ground.sidecar.refusals()).toMatchObject([{ reason: 'TLS_CONNECTION_LOST', count: 1 }]);
  });

  it('takes the next one when one has gone', async () => {
    ground = await HostileGround.start({ limits: { maxConnections: 1 } });
    const first = await connect();
    await eventually('the first', () => ground.sidecar.listener.connections === 1);
    first?.close();
    await eventually('its end', () => ground.sidecar.listener.connections === 0);
    expect(await connect()).toBeInstanceOf(FrameClient);
  });
});
