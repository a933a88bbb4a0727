import { afterEach, describe, expect, it } from 'vitest';
import { FrameType } from '../../../src/http2/frame.ts';
import type { EpochMicros, TenantId } from '../../../src/kernel/ids.ts';
import { CoolOff, MAX_COOLING } from '../../../src/proxy/cool-off.ts';
import { FrameClient, frameBytes } from '../../fakes/frame-client.ts';
import { eventually, HostileGround } from '../../fakes/hostile-ground.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const T0 = 1_000_000_000 as EpochMicros;
const after = (micros: number): EpochMicros => (T0 + micros) as EpochMicros;

describe('a client that was thrown out', () => {
  it('stays out for its time, and not a microsecond longer', () => {
    const coolOff = new CoolOff();
    coolOff.begin('10.0.0.1', ACME, T0, 1_000);
    expect(coolOff.has('10.0.0.1', ACME, after(999_999))).toBe(true);
    expect(coolOff.has('10.0.0.1', ACME, after(1_000_000))).toBe(false);
  });

  it('keeps no other tenant out at its address, and none of its own elsewhere', () => {
    const coolOff = new CoolOff();
    coolOff.begin('10.0.0.1', ACME, T0, 1_000);
    expect(coolOff.has('10.0.0.1', GLOBEX, T0)).toBe(false);
    expect(coolOff.has('10.0.0.2', ACME, T0)).toBe(false);
  });

  it('may come back at once when there is no such time', () => {
    const coolOff = new CoolOff();
    coolOff.begin('10.0.0.1', ACME, T0, 0);
    expect(coolOff.has('10.0.0.1', ACME, T0)).toBe(false);
  });
});

describe('those who cool off', () => {
  it.each([MAX_COOLING])('keeps at most %i of them, and lets the first go for one more', (most) => {
    const coolOff = new CoolOff();
    for (let index = 0; index < most; index++) coolOff.begin(`10.0.0.${index}`, ACME, T0, 1_000);
    expect(coolOff.has('10.0.0.0', ACME, T0)).toBe(true);
    coolOff.begin('10.1.0.0', ACME, T0, 1_000);
    expect(coolOff.has('10.0.0.0', ACME, T0)).toBe(false);
    expect(coolOff.has('10.0.0.1', ACME, T0)).toBe(true);
    expect(coolOff.has('10.1.0.0', ACME, T0)).toBe(true);
  });
});

describe('the listener', () => {
  let ground: HostileGround;
  const clients: FrameClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await ground.stop();
  });

  /** Connects, breaks the protocol, and is gone. */
  async function thrownOut(): Promise<void> {
    const client = await FrameClient.connect(ground.access(ground.acme));
    clients.push(client);
    client.write(frameBytes(FrameType.DATA, 0, 1, Buffer.of(0)));
    await eventually('its connection has ended', () => client.closed);
    await eventually('the listener knows', () => ground.sidecar.listener.connections === 0);
  }

  const connects = async (tenant: HostileGround['acme']): Promise<boolean> => {
    const client = await FrameClient.connect(ground.access(tenant)).catch(() => undefined);
    if (client !== undefined) clients.push(client);
    return client !== undefined;
  };

  it('refuses who was thrown out before it signs anything for it, and lets the neighbour in', async () => {
    ground = await HostileGround.start({ limits: { coolOffMs: 600_000 } });
    await thrownOut();
    expect(await connects(ground.acme)).toBe(false);
    expect(await connects(ground.globex)).toBe(true);
    expect(await ground.sidecar.refusals()).toMatchObject([
      { reason: 'HTTP2_PROTOCOL_ERROR', tenantClaim: 'acme' },
      { reason: 'COOLING_OFF', tenantClaim: 'acme', peerAddress: '127.0.0.1', detail: 'ERR_COOLING_OFF', count: 1 },
    ]);
  });

  it('lets it back in when its time has passed, or when there is none', async () => {
    ground = await HostileGround.start({ limits: { coolOffMs: 50 } });
    await thrownOut();
    await expect.poll(() => connects(ground.acme)).toBe(true);
    ground.sidecar.apply(ground.generation({ limits: { coolOffMs: 0 } }));
    for (const client of clients.splice(0)) client.close();
    await eventually('nobody is there', () => ground.sidecar.listener.connections === 0);
    await thrownOut();
    expect(await connects(ground.acme)).toBe(true);
  });
});
