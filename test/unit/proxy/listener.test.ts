import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
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

  it('takes the next one when one has gone', async () => {
    ground = await HostileGround.start({ limits: { maxConnections: 1 } });
    const first = await connect();
    await eventually('the first', () => ground.sidecar.listener.connections === 1);
    first?.close();
    await eventually('its end', () => ground.sidecar.listener.connections === 0);
    expect(await connect()).toBeInstanceOf(FrameClient);
  });
});
