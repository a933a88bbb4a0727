/** The engine over TLS: with itself, and with node:http2 on either side. */
import { randomBytes } from 'node:crypto';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { Http2Connection } from '../../../src/http2/connection.ts';
import { type TenantPki, tenantPki } from '../../fakes/pki.ts';
import { buffers, echo, eventually, options, REQUEST, turn } from './loopback.ts';
import { RecordingConnectionOwner, RecordingStreamOwner } from './recording-owner.ts';

let pki: TenantPki;
beforeAll(() => {
  pki = tenantPki('alpha');
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function listen(server: { listen: (port: number, host: string, done: () => void) => unknown }): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server as unknown as { address: () => AddressInfo }).address().port;
}

const serverTls = () => ({ cert: pki.server.certPem, key: pki.server.keyPem, ALPNProtocols: ['h2'], noDelay: true });

async function engineServer(): Promise<number> {
  const server = createServer(serverTls(), (socket) => {
    closers.push(() => socket.destroy());
    const owner = new RecordingConnectionOwner();
    owner.answer = echo;
    new Http2Connection(socket, options('server'), owner, turn, buffers);
  });
  closers.push(() => server.close());
  return listen(server);
}

async function engineCalls(port: number, count: number, body: Buffer): Promise<RecordingStreamOwner[]> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: pki.serverName,
    ca: pki.ca.certPem,
    ALPNProtocols: ['h2'],
  });
  socket.setNoDelay(true);
  closers.push(() => socket.destroy());
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const owner = new RecordingConnectionOwner();
  const connection = new Http2Connection(socket, options('client'), owner, turn, buffers);
  await eventually(() => owner.capacityCalls > 0);
  const owners = Array.from({ length: count }, () => {
    const streamOwner = new RecordingStreamOwner();
    connection.open(REQUEST, false, streamOwner).sendData(body, true);
    return streamOwner;
  });
  await Promise.all(owners.map((streamOwner) => streamOwner.whenEnded()));
  return owners;
}

test('an engine calls an engine over TLS', async () => {
  const body = randomBytes(400_000);
  const owners = await engineCalls(await engineServer(), 10, body);
  expect(owners.every((owner) => owner.body.equals(body) && owner.resets.length === 0)).toBe(true);
});

test('an engine calls node:http2 over TLS', async () => {
  const server = http2.createSecureServer(serverTls());
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  closers.push(() => server.close());
  const body = randomBytes(200_000);
  const owners = await engineCalls(await listen(server), 10, body);
  expect(owners.every((owner) => owner.body.equals(body) && owner.resets.length === 0)).toBe(true);
});

test('node:http2 calls an engine over TLS', async () => {
  const session = http2.connect(`https://127.0.0.1:${await engineServer()}`, {
    ca: pki.ca.certPem,
    servername: pki.serverName,
  });
  closers.push(() => session.destroy());
  const body = randomBytes(200_000);
  const bodies = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const request = session.request({
        ':method': 'POST',
        ':path': '/a.B/C',
        authorization: `Bearer ${'x'.repeat(500)}`,
      });
      request.end(body);
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    }),
  );
  expect(bodies.every((received) => received.equals(body))).toBe(true);
});
