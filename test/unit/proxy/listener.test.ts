import { afterEach, describe, expect, it } from 'vitest';
import { FrameClient } from '../../fakes/frame-client.ts';
import { eventually, HostileGround } from '../../fakes/hostile-ground.ts';

let ground: HostileGround;
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

  it('takes the next one when one has gone', async () => {
    ground = await HostileGround.start({ limits: { maxConnections: 1 } });
    const first = await connect();
    await eventually('the first', () => ground.sidecar.listener.connections === 1);
    first?.close();
    await eventually('its end', () => ground.sidecar.listener.connections === 0);
    expect(await connect()).toBeInstanceOf(FrameClient);
  });
});
