import { createSecureServer, createServer, type Http2SecureServer, type Http2Server } from 'node:http2';
import type { Socket } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../../src/config/upstream-config.ts';
import { createCa, issueClient, issueServer } from '../../../src/identity/issue.ts';
import type { Result } from '../../../src/kernel/result.ts';
import { dial } from '../../../src/proxy/dial.ts';
import { emptyDirectory } from '../../fakes/configuration.ts';
import { tenantPki } from '../../fakes/pki.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function config(changes: Partial<UpstreamConfig>): UpstreamConfig {
  return {
    target: { kind: 'tcp', host: '127.0.0.1', port: 1 },
    tls: undefined,
    display: 'upstream',
    connectTimeoutMs: 1_000,
    maxConnections: 1,
    maxPendingCalls: 1,
    authority: 'upstream',
    ...changes,
  };
}

async function dialled(changes: Partial<UpstreamConfig>): Promise<Result<Socket, string>> {
  const result = await new Promise<Result<Socket, string>>((resolve) => dial(config(changes), resolve));
  if (result.ok) closing.push(() => result.value.destroy());
  return result;
}

async function listening(
  server: Http2Server | Http2SecureServer | ReturnType<typeof createTcpServer>,
): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return address.port;
}

const tcp = (port: number): UpstreamConfig['target'] => ({ kind: 'tcp', host: '127.0.0.1', port });

describe('dialling an upstream', () => {
  it('reaches a port', async () => {
    const port = await listening(createServer());
    expect((await dialled({ target: tcp(port) })).ok).toBe(true);
  });

  it('reaches a Unix socket', async () => {
    const path = join(emptyDirectory(), 'model.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    closing.push(() => server.close());
    expect((await dialled({ target: { kind: 'unix', path } })).ok).toBe(true);
  });

  it('says why there is nothing', async () => {
    const server = createTcpServer();
    const port = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    const result = await dialled({ target: tcp(port) });
    expect(result.ok ? '' : result.error).toContain('ECONNREFUSED');
  });

  it('does not wait longer for a handshake than it may', async () => {
    const silent = createTcpServer(() => undefined);
    const port = await listening(silent);
    const tls = { caPem: tenantPki('model').ca.certPem, serverName: 'model.models.test', clientCertificate: undefined };
    const from = performance.now();
    const result = await dialled({ target: tcp(port), tls, connectTimeoutMs: 100 });
    expect(result.ok ? '' : result.error).toContain('100 ms');
    // Timers count whole milliseconds.
    expect(performance.now() - from).toBeGreaterThan(98);
  });

  it('waits for a handshake as long as it may', async () => {
    const slow = createTcpServer((socket) => void setTimeout(() => socket.destroy(), 150));
    const port = await listening(slow);
    const tls = { caPem: tenantPki('model').ca.certPem, serverName: 'model.models.test', clientCertificate: undefined };
    const result = await dialled({ target: tcp(port), tls, connectTimeoutMs: 60_000 });
    // It is the server that ended it.
    expect(result.ok ? '' : result.error).not.toContain('ms');
  });

  describe('over TLS', () => {
    const ca = createCa({ commonName: 'model CA', days: 1 });
    const server = issueServer(ca, { dnsNames: ['model.test'], days: 1 });
    const client = issueClient(ca, { commonName: 'bulkhead', days: 1 });
    const tls = {
      caPem: ca.certPem,
      serverName: 'model.test',
      clientCertificate: { chainPem: client.certPem, keyPem: client.keyPem },
    };
    const secure = (): Promise<number> =>
      listening(
        createSecureServer({
          cert: server.certPem,
          key: server.keyPem,
          ca: ca.certPem,
          requestCert: true,
          rejectUnauthorized: true,
        }),
      );

    it('shows its certificate and speaks h2', async () => {
      expect((await dialled({ target: tcp(await secure()), tls })).ok).toBe(true);
    });

    it('does not trust a server of another CA, nor one of another name', async () => {
      const foreign = { ...tls, caPem: tenantPki('other').ca.certPem };
      const untrusted = await dialled({ target: tcp(await secure()), tls: foreign });
      expect(untrusted.ok ? 'trusted' : untrusted.error).toMatch(/certificate|issuer/i);
      const misnamed = await dialled({ target: tcp(await secure()), tls: { ...tls, serverName: 'other.test' } });
      expect(misnamed.ok ? 'trusted' : misnamed.error).toMatch(/altnames/i);
    });

    it('refuses a server that does not choose h2', async () => {
      const old = createTlsServer({ cert: server.certPem, key: server.keyPem });
      const result = await dialled({ target: tcp(await listening(old)), tls });
      expect(result.ok ? '' : result.error).toContain('h2');
    });
  });
});
