import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { Entrance } from '../../../src/proxy/entrance.ts';
import { eventually } from '../../fakes/hostile-ground.ts';

/** The beginning of a handshake message in a record that has come whole. */
const HELLO = Buffer.from([22, 3, 1, 0, 1, 1]);

const open: { destroy(): unknown }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.destroy();
});

/** An entrance whose first handshake has begun. `ends` is what becomes of the second at the very moment when its turn comes. */
async function entranceOf(ends: (entrance: Entrance, second: Socket) => void) {
  const tls = createServer();
  const begun: Socket[] = [];
  const entered: Socket[] = [];
  const refusals: string[] = [];
  tls.removeAllListeners('connection');
  tls.on('connection', (socket: Socket) => begun.push(socket));
  const entrance: Entrance = new Entrance({
    tls,
    proxyProtocol: undefined,
    handshakeTimeoutMs: () => 60_000,
    handshakeShare: () => 0.000_001,
    isBusy: () => {
      const second = entered[1];
      if (second === undefined || second.destroyed) return second === undefined;
      ends(entrance, second);
      return false;
    },
    refused: (_socket, reason, detail) => refusals.push(`${reason} ${detail}`),
  });
  entrance.server.on('connection', (socket: Socket) => {
    entered.push(socket);
    open.push(socket);
    entrance.enter(socket);
  });
  await new Promise<void>((resolve) => entrance.server.listen(0, '127.0.0.1', resolve));
  open.push({ destroy: () => entrance.server.close() });
  const address = entrance.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const knock = (): Socket => {
    const client = connect(port, '127.0.0.1').on('error', () => undefined);
    open.push(client);
    client.write(HELLO);
    return client;
  };
  knock();
  await eventually('the first', () => begun.length === 1);
  return { entrance, knock, begun, entered, refusals };
}

describe('a client that has said hello, and ends when its turn comes', () => {
  it('has none any more, and is on record', async () => {
    const { knock, begun, entered, refusals } = await entranceOf((_, second) => second.destroy());
    knock();
    await eventually('its end', () => entered[1]?.closed === true);
    expect([begun.length, refusals]).toEqual([1, ['TLS_CONNECTION_LOST after its hello']]);
  });

  it('is not on record twice when all is said of it', async () => {
    const { knock, begun, entered, refusals } = await entranceOf((entrance, second) => entrance.dismiss(second));
    knock();
    await eventually('its end', () => entered[1]?.closed === true);
    expect([begun.length, refusals]).toEqual([1, []]);
  });
});
