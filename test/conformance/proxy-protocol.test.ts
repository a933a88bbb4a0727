/**
 * Load balancers before the listener: whose a connection is, they say, and nobody else.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ListenerConfig } from '../../src/config/generation.ts';
import { type Balancing, FakeLoadBalancer } from '../fakes/fake-load-balancer.ts';
import { eventually, type GroundOptions, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { note, proxyHeader } from '../fakes/proxy-header.ts';
import type { RawGrpcClient } from '../fakes/raw-grpc-client.ts';

const BEHIND: Partial<ListenerConfig> = { proxyProtocol: { from: ['127.0.0.1'] } };

let ground: HostileGround;
let balancer: FakeLoadBalancer;
let balancing: Balancing;

beforeEach(() => {
  balancing = { header: proxyHeader(), sent: 'joined' };
});
afterEach(async () => {
  balancer.stop();
  await ground.stop();
});

async function start(options: GroundOptions = {}): Promise<void> {
  ground = await HostileGround.start({ listener: BEHIND, ...options });
  balancer = await FakeLoadBalancer.start(
    () => ground.sidecar.port,
    () => balancing,
  );
}

const connect = (): Promise<RawGrpcClient> => ground.client(ground.acme, { port: balancer.port });

async function infer(client: RawGrpcClient): Promise<string> {
  const { status, reason } = await client.call(INFER, { chunks: [inferRequest()] });
  return `${status} ${reason}`.trim();
}

/** Who connects to the listener itself, and says this. */
async function speak(bytes: Buffer, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = createConnection({ port: ground.sidecar.port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  socket.write(bytes);
  return socket;
}

async function reasons(): Promise<readonly string[]> {
  return (await ground.sidecar.refusals()).map(
    ({ reason, peerAddress, detail }) => `${reason} ${peerAddress} ${detail}`,
  );
}

describe('a connection by way of a load balancer', () => {
  it.each(['joined', 'apart', 1, 7, 27] as const)('is its client’s, with the header sent %s', async (sent) => {
    balancing = { header: proxyHeader({ notes: note(1, Buffer.from('h2')) }), sent };
    await start();
    expect(await infer(await connect())).toBe('0');
    expect(await ground.records(1)).toMatchObject([
      { peerAddress: '203.0.113.7', peerPort: 40_123, proxyAddress: '127.0.0.1' },
    ]);
  });

  it('is held to the address lists by its client’s address', async () => {
    await start({ acme: { addresses: ['203.0.113.0/24'], deniedAddresses: ['203.0.113.9'] } });
    expect(await infer(await connect())).toBe('0');
    balancing = { header: proxyHeader({ source: [203, 0, 113, 9] }), sent: 'joined' };
    expect(await infer(await connect())).toBe('7 IP_NOT_ALLOWED');
    // The load balancer's own address is not the client's.
    balancing = { header: proxyHeader({ source: [198, 51, 100, 1] }), sent: 'joined' };
    expect(await infer(await connect())).toBe('7 IP_NOT_ALLOWED');
  });

  it('counts for its client’s address', async () => {
    await start({ limits: { maxConnectionsPerAddress: 1 } });
    expect(await infer(await connect())).toBe('0');
    const second = await connect().then(infer, () => 'refused');
    expect(second).not.toBe('0');
    balancing = { header: proxyHeader({ source: [203, 0, 113, 8] }), sent: 'joined' };
    expect(await infer(await connect())).toBe('0');
    await eventually('two connections', () => ground.sidecar.listener.connections === 2);
    expect(await reasons()).toContainEqual(
      expect.stringMatching(/^CONNECTION_LIMIT_ADDRESS 203\.0\.113\.7 .*, by way of 127\.0\.0\.1$/),
    );
  });

  it('of the load balancer’s own is the load balancer’s', async () => {
    balancing = { header: proxyHeader({ command: 0 }), sent: 'joined' };
    await start();
    expect(await infer(await connect())).toBe('0');
    const [record] = await ground.records(1);
    expect([record?.peerAddress, record?.proxyAddress]).toEqual(['127.0.0.1', undefined]);
  });

  it('still has to have a certificate of the tenant’s, and its refusal says by which way it came', async () => {
    await start();
    const access = { port: balancer.port, certPem: undefined, keyPem: undefined, hasty: true };
    const outcome = await ground.client(ground.acme, access).then(infer, () => 'not connected');
    expect(['-1', 'not connected']).toContain(outcome);
    await eventually('nobody is there', () => ground.sidecar.listener.connections === 0);
    const [refusal] = await reasons();
    expect(refusal).toMatch(/^TLS_CLIENT_CERT_REQUIRED 203\.0\.113\.7 .*by way of 127\.0\.0\.1$/);
  });
});

describe('a connection without a load balancer’s word', () => {
  it('is refused, though its certificate is good', async () => {
    await start();
    await expect(ground.client(ground.acme)).rejects.toThrow();
    expect(await reasons()).toEqual(['PROXY_HEADER_INVALID 127.0.0.1 none: a TLS hello']);
    expect(ground.sidecar.listener.connections).toBe(0);
  });

  it('is refused when it says what a load balancer would, from elsewhere', async () => {
    balancing = { header: proxyHeader(), sent: 'joined', from: '127.0.0.2' };
    await start();
    await expect(connect()).rejects.toThrow();
    expect(await reasons()).toEqual(['PROXY_NOT_ALLOWED 127.0.0.2 not among proxyProtocol.from']);
  });

  it.each([
    ['version 1', Buffer.from('PROXY TCP4 203.0.113.7 192.0.2.1 40123 443\r\n'), 'version 1, or none'],
    ['a header that is too long', proxyHeader({ length: 4_081 }), '4097 octets, more than 4096'],
    ['UDP', proxyHeader({ family: 0x12 }), 'family 0x12 is not TCP'],
  ])('is refused at once with %s', async (_what, bytes, why) => {
    await start();
    const socket = await speak(bytes);
    await eventually('it is closed', () => socket.destroyed);
    expect(await reasons()).toEqual([`PROXY_HEADER_INVALID 127.0.0.1 ${why}`]);
  });

  it('has as long for its header as for a handshake, also octet by octet', async () => {
    await start({ limits: { handshakeTimeoutMs: 300 } });
    const silent = await speak(Buffer.alloc(0));
    const slow = await speak(proxyHeader().subarray(0, 5));
    await eventually('both are closed', () => silent.destroyed && slow.destroyed);
    const said = await reasons();
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^PROXY_HEADER_TIMEOUT 127\.0\.0\.1 [05] octets of it$/);
  });

  it('that ends amid its header is on record, and leaves no handshake behind', async () => {
    await start({ limits: { maxHandshakes: 1 } });
    const gone = await speak(proxyHeader().subarray(0, 20));
    gone.end();
    await once(gone, 'close');
    expect(await infer(await connect())).toBe('0');
    expect(await reasons()).toEqual(['PROXY_HEADER_INCOMPLETE 127.0.0.1 20 octets of it']);
  });

  it('crowds out the oldest of those that wait, as handshakes do', async () => {
    await start({ limits: { maxHandshakes: 2 } });
    const waiting: Socket[] = [];
    for (let index = 0; index < 3; index += 1) waiting.push(await speak(Buffer.alloc(0)));
    await eventually('the oldest is closed', () => waiting.some((socket) => socket.destroyed));
    expect(waiting.filter((socket) => socket.destroyed)).toHaveLength(1);
    expect((await reasons())[0]).toMatch(/^HANDSHAKE_LIMIT 127\.0\.0\.1 /);
  });
});

it('other load balancers are let in from the next generation on', async () => {
  await start();
  expect(await infer(await connect())).toBe('0');
  await ground.sidecar.applied(ground.generation({ listener: { proxyProtocol: { from: ['127.0.0.2'] } } }));
  await expect(connect()).rejects.toThrow();
  balancing = { ...balancing, from: '127.0.0.2' };
  expect(await infer(await connect())).toBe('0');
});
