import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { connect as connectTls, type SecureVersion } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Generation, ListenerConfig } from '../../../src/config/generation.ts';
import { respond } from '../../fakes/fake-upstream.ts';
import { FrameClient } from '../../fakes/frame-client.ts';
import { eventually, HostileGround, INFER, inferRequest } from '../../fakes/hostile-ground.ts';

let ground: HostileGround;

beforeEach(async () => {
  ground = await HostileGround.start();
});
afterEach(() => ground.stop());

function listening(changes: Partial<ListenerConfig>): Generation {
  return { ...ground.generation(), listener: { address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3', ...changes } };
}

async function accepted(port: number): Promise<boolean> {
  const socket: Socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The version that a handshake with at most this one comes to, or why it does not. */
function handshake(maxVersion: SecureVersion): Promise<string> {
  const { pki } = ground.acme;
  return new Promise((resolve) => {
    const socket = connectTls({
      port: ground.sidecar.port,
      host: '127.0.0.1',
      servername: pki.serverName,
      ca: pki.ca.certPem,
      cert: pki.client.certPem,
      key: pki.client.keyPem,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.2',
      maxVersion,
    });
    socket.once('secureConnect', () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
    socket.on('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  });
}

describe('another address', () => {
  it('is served beside the old one until the change is made, and alone afterwards', async () => {
    const { listener, port } = ground.sidecar;
    const next = await listener.prepare({ address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' });
    expect(next).not.toBe(port);
    for (const each of [port, next]) {
      const client = await ground.client(ground.acme, { port: each });
      expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    }
    await ground.sidecar.applied(listening({ port: next }));
    expect([await accepted(port), await accepted(next)]).toEqual([false, true]);
    const client = await ground.client(ground.acme, { port: next });
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });

  it('lets the calls of the old one end, and asks its clients to connect anew', async () => {
    const { listener, port } = ground.sidecar;
    const answers: (() => void)[] = [];
    ground.upstream.answer = (stream) => answers.push(() => respond(stream));
    const old = await ground.client(ground.acme, { port });
    const idle = await FrameClient.connect(ground.access(ground.acme));
    const call = old.call(INFER, { chunks: [inferRequest()] });
    await eventually('the call at the upstream', () => answers.length === 1);
    const next = await listener.prepare({ address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' });
    await ground.sidecar.applied(listening({ port: next }));
    await eventually('GOAWAY', () => idle.goawayCode === 0);
    expect(listener.calls).toBe(1);
    for (const answer of answers) answer();
    expect((await call).status).toBe(0);
    await eventually('nobody is left', () => listener.connections === 0);
  });

  it('cuts what has not ended at the drain limit', async () => {
    const { listener } = ground.sidecar;
    let calls = 0;
    ground.upstream.answer = () => {
      calls += 1;
    };
    const client = await ground.client();
    const call = client.call(INFER, { chunks: [inferRequest()] });
    await eventually('the call at the upstream', () => calls === 1);
    const next = await listener.prepare({ address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' });
    const generation = { ...listening({ port: next }), shutdown: { drainTimeoutMs: 20 } };
    await ground.sidecar.applied(generation);
    await call.catch(() => undefined);
    await eventually('nobody is left', () => listener.connections === 0);
  });

  it('that cannot be had changes nothing', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { listener } = ground.sidecar;
    await expect(listener.prepare({ address: '127.0.0.1', port, minTlsVersion: 'TLSv1.3' })).rejects.toThrow(
      'EADDRINUSE',
    );
    await listener.abandon();
    // A generation that does not move it, as the old one did not.
    await ground.sidecar.applied(listening({ port: ground.sidecar.port }));
    const client = await ground.client();
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    taken.close();
  });

  it('that is not wanted after all is left again', async () => {
    const { listener } = ground.sidecar;
    const next = await listener.prepare({ address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' });
    await listener.abandon();
    expect([await accepted(next), await accepted(ground.sidecar.port)]).toEqual([false, true]);
  });

  it('may be none, and one again', async () => {
    const { listener, port } = ground.sidecar;
    await ground.sidecar.applied({ ...ground.generation(), listener: undefined });
    expect(await accepted(port)).toBe(false);
    const next = await listener.prepare({ address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' });
    await ground.sidecar.applied(listening({ port: next }));
    const client = await ground.client(ground.acme, { port: next });
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });

  it('with the same port is found beside the old one', async () => {
    const { listener, port } = ground.sidecar;
    expect(await listener.prepare({ address: '0.0.0.0', port, minTlsVersion: 'TLSv1.3' })).toBe(port);
    await ground.sidecar.applied(listening({ address: '0.0.0.0', port }));
    const client = await ground.client();
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });
});

describe('a client that shakes hands while the door is closed', () => {
  it('gets in, and is asked to leave', async () => {
    const { listener, port } = ground.sidecar;
    const { pki } = ground.acme;
    const raw = createConnection(port, '127.0.0.1');
    await once(raw, 'connect');
    const drained = listener.drain(60_000);
    await listener.apply({ ...ground.generation(), listener: undefined }, []);
    expect(await accepted(port)).toBe(false);
    const socket = connectTls({
      socket: raw,
      servername: pki.serverName,
      ca: pki.ca.certPem,
      cert: pki.client.certPem,
      key: pki.client.keyPem,
      ALPNProtocols: ['h2'],
    });
    await once(socket, 'secureConnect');
    await eventually('a session', () => listener.connections === 1);
    socket.destroy();
    expect(await drained).toBe(0);
  });
});

describe('what of a listener can change where it is', () => {
  it('is the lowest TLS version, for new handshakes', async () => {
    const { port } = ground.sidecar;
    expect(await handshake('TLSv1.2')).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
    await ground.sidecar.applied(listening({ port, minTlsVersion: 'TLSv1.2' }));
    expect([await handshake('TLSv1.2'), await handshake('TLSv1.3')]).toEqual(['TLSv1.2', 'TLSv1.3']);
    await ground.sidecar.applied(listening({ port }));
    expect(await handshake('TLSv1.2')).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  });

  it('is the number of connections', async () => {
    const { listener, port } = ground.sidecar;
    const generation = ground.generation({ limits: { maxConnections: 1 } });
    await ground.sidecar.applied({ ...generation, listener: listening({ port }).listener });
    await ground.client();
    await eventually('the first', () => listener.connections === 1);
    await expect(ground.client()).rejects.toThrow();
    await ground.sidecar.applied(listening({ port }));
    await ground.client();
    await eventually('the second', () => listener.connections === 2);
  });
});
