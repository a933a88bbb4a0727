/**
 * Judge: h2spec, every case and the strict one, against the engine with an echo handler: in clear text, and over TLS with a
 * client certificate, through the byte tunnel, so that it sees the engine's own frames.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { serveEcho } from '../conformance/h2-echo.ts';
import { tenantPki } from '../fakes/pki.ts';
import { BytesTunnel } from './harness/byte-tunnel.ts';
import { H2SPEC_STRICT_CASES, judgeWithH2spec } from './harness/h2spec.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return address.port;
}

async function expectAll(port: number): Promise<void> {
  const score = await judgeWithH2spec(port, ['--strict']);
  process.stdout.write(`h2spec --strict: ${score.passed} of ${score.total}\n`);
  expect(score.failed, score.output).toEqual([]);
  expect(score.passed).toBe(H2SPEC_STRICT_CASES);
}

it('passes every case in clear text', async () => {
  await expectAll(await listening(createServer({ noDelay: true }, (socket) => void serveEcho(socket))));
});

it('passes every case over TLS with a client certificate', async () => {
  const { ca, server, client, serverName } = tenantPki('acme');
  const tls = { cert: server.certPem, key: server.keyPem, ca: ca.certPem, requestCert: true, rejectUnauthorized: true };
  const port = await listening(
    createTlsServer({ ...tls, ALPNProtocols: ['h2'], noDelay: true }, (socket) => void serveEcho(socket)),
  );
  const tunnel = await BytesTunnel.start({
    ...{ port, serverName, caPem: ca.certPem, certPem: client.certPem, keyPem: client.keyPem },
  });
  closing.push(() => tunnel.stop());
  await expectAll(tunnel.port);
});
