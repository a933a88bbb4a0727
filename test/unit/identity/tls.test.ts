import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { createCa, issueClient } from '../../../src/identity/issue.ts';
import { establishedProblem, handshakeRefusal, listenerTlsOptions } from '../../../src/identity/listener-tls.ts';
import { acceptPeer } from '../../../src/identity/peer.ts';
import { type MinTlsVersion, TlsContexts } from '../../../src/identity/tls-contexts.ts';
import { type FakeTenant, fakeTenant, micros } from '../../fakes/trust.ts';

const acme = fakeTenant('acme');
const globex = fakeTenant('globex');
let open: { readonly server: Server; readonly sockets: TLSSocket[] } | undefined;

afterEach(() => {
  for (const socket of open?.sockets ?? []) socket.destroy();
  open?.server.close();
  open = undefined;
});

interface Listener {
  readonly port: number;
  /** What became of each connection, in order. */
  readonly outcomes: string[];
  readonly contexts: TlsContexts;
  /** Certificates of clients that were let in. */
  readonly clients: X509Certificate[];
}

const HANDSHAKE_MS = 500;

async function listen(
  tenants: readonly TenantConfig[] = [acme.config, globex.config],
  minVersion: MinTlsVersion = 'TLSv1.3',
  handshakeTimeoutMs = HANDSHAKE_MS,
): Promise<Listener> {
  const contexts = new TlsContexts();
  const outcomes: string[] = [];
  const clients: X509Certificate[] = [];
  const server = createServer(
    listenerTlsOptions({
      minVersion,
      shared: undefined,
      handshakeTimeoutMs,
      contextOf(serverName) {
        const tenant = tenants.find((candidate) => candidate.serverNames.includes(serverName));
        return tenant === undefined ? undefined : contexts.contextFor(tenant, minVersion);
      },
      mayBegin: () => true,
      onUnusable: (serverName) => outcomes.push(`unusable ${serverName}`),
    }),
  );
  const sockets: TLSSocket[] = [];
  server.on('secureConnection', (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    const certificate = socket.getPeerX509Certificate();
    if (certificate !== undefined) clients.push(certificate);
    const problem = establishedProblem(socket);
    outcomes.push(problem?.reason ?? `in ${String(Reflect.get(socket, 'servername'))} ${String(socket.getProtocol())}`);
    socket.end('hello');
  });
  server.on('tlsClientError', (error, socket) => {
    const refusal = handshakeRefusal(error, socket);
    outcomes.push(`${refusal.reason} ${refusal.serverName}`);
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open = { server, sockets };
  const address = server.address();
  return { port: isAddress(address) ? address.port : 0, outcomes, contexts, clients };
}

function isAddress(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}

interface ClientView {
  /** The server's certificate subjectAltName, if one was shown. */
  readonly shown: string | undefined;
  readonly received: string;
  readonly errorCode: string | undefined;
  readonly reused: boolean;
  readonly sessions: readonly Buffer[];
  readonly group: string;
}

async function dial(listener: Listener, options: ConnectionOptions): Promise<ClientView> {
  const socket = connect({
    port: listener.port,
    host: '127.0.0.1',
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    ...options,
  });
  const sessions: Buffer[] = [];
  let shown: string | undefined;
  let received = '';
  let errorCode: string | undefined;
  let reused = false;
  let group = '';
  socket.on('session', (session: Buffer) => sessions.push(session));
  socket.on('secureConnect', () => {
    shown = socket.getPeerX509Certificate()?.subjectAltName;
    reused = socket.isSessionReused();
    const info = socket.getEphemeralKeyInfo();
    group = info !== null && 'name' in info ? String(info.name) : '';
  });
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString();
  });
  socket.on('error', (error) => {
    errorCode = 'code' in error ? String(error.code) : error.message;
  });
  await once(socket, 'close').catch(() => undefined);
  if (!socket.closed) await once(socket, 'close');
  await new Promise((resolve) => setTimeout(resolve, 20));
  return { shown, received, errorCode, reused, sessions, group };
}

function clientOf(tenant: FakeTenant): ConnectionOptions {
  return { servername: tenant.pki.serverName, cert: tenant.pki.client.certPem, key: tenant.pki.client.keyPem };
}

test('the server name picks the tenant’s certificate and CA', async () => {
  const listener = await listen();
  const first = await dial(listener, clientOf(acme));
  const second = await dial(listener, clientOf(globex));
  expect(first).toMatchObject({ received: 'hello', shown: expect.stringContaining('DNS:acme.models.test') });
  expect(second).toMatchObject({ received: 'hello', shown: expect.stringContaining('DNS:globex.models.test') });
  expect(listener.outcomes).toEqual(['in acme.models.test TLSv1.3', 'in globex.models.test TLSv1.3']);
});

test('the server name has no case', async () => {
  const listener = await listen();
  expect((await dial(listener, { ...clientOf(acme), servername: 'ACME.Models.Test' })).received).toBe('hello');
});

describe('the handshake ends in an alert and shows no certificate', () => {
  test.each<MinTlsVersion>(['TLSv1.3', 'TLSv1.2'])('without a server name (%s)', async (version) => {
    const listener = await listen([acme.config], version);
    const { cert, key } = clientOf(acme);
    const view = await dial(listener, { cert, key, maxVersion: version });
    expect(view).toMatchObject({ shown: undefined, received: '' });
    expect(view.errorCode).toMatch(/ALERT_HANDSHAKE_FAILURE/);
    expect(listener.outcomes).toEqual(['TLS_SERVER_NAME_MISSING ']);
  });

  test.each<MinTlsVersion>(['TLSv1.3', 'TLSv1.2'])('for an unknown server name (%s)', async (version) => {
    const listener = await listen([acme.config], version);
    const view = await dial(listener, { ...clientOf(acme), servername: 'initech.models.test', maxVersion: version });
    expect(view).toMatchObject({ shown: undefined, received: '' });
    expect(view.errorCode).toMatch(/ALERT_HANDSHAKE_FAILURE/);
    expect(listener.outcomes).toEqual(['TLS_UNKNOWN_SERVER_NAME initech.models.test']);
  });

  test('when the tenant’s certificate is unusable, and the next tenant’s connection is fine', async () => {
    const broken = { ...acme.config, digest: 'broken', certificate: { chainPem: 'nonsense', keyPem: 'nonsense' } };
    const listener = await listen([broken, globex.config]);
    expect((await dial(listener, clientOf(acme))).errorCode).toMatch(/ALERT_HANDSHAKE_FAILURE/);
    expect((await dial(listener, clientOf(globex))).received).toBe('hello');
    expect(listener.outcomes[0]).toBe('unusable acme.models.test');
  });
});

test('no certificate ends in the alert certificate_required', async () => {
  const listener = await listen();
  const view = await dial(listener, { servername: acme.pki.serverName });
  expect(view.received).toBe('');
  expect(view.errorCode).toMatch(/CERTIFICATE_REQUIRED/);
  expect(listener.outcomes).toEqual(['TLS_CLIENT_CERT_REQUIRED acme.models.test']);
});

test('a client of another tenant’s CA is refused', async () => {
  const listener = await listen();
  const view = await dial(listener, { ...clientOf(globex), servername: acme.pki.serverName });
  expect(view.received).toBe('');
  expect(listener.outcomes).toEqual(['TLS_CLIENT_CERT_UNTRUSTED acme.models.test']);
});

test('a protocol other than h2 is refused in the handshake, none at all after it', async () => {
  const listener = await listen();
  const other = await dial(listener, { ...clientOf(acme), ALPNProtocols: ['http/1.1'] });
  expect(other.errorCode).toMatch(/NO_APPLICATION_PROTOCOL/);
  await dial(listener, { ...clientOf(acme), ALPNProtocols: [] });
  expect(listener.outcomes).toEqual(['TLS_ALPN_UNSUPPORTED acme.models.test', 'TLS_ALPN_UNSUPPORTED']);
});

test('TLS 1.2 is refused unless configured, and then only with ECDHE and an AEAD', async () => {
  const strict = await listen();
  expect((await dial(strict, { ...clientOf(acme), maxVersion: 'TLSv1.2' })).errorCode).toMatch(/PROTOCOL_VERSION/);
  expect(strict.outcomes).toEqual(['TLS_VERSION_UNSUPPORTED ']);
  open?.server.close();
  const lax = await listen([acme.config], 'TLSv1.2');
  const with12 = { ...clientOf(acme), maxVersion: 'TLSv1.2' as const };
  expect((await dial(lax, with12)).received).toBe('hello');
  expect((await dial(lax, { ...with12, ciphers: 'ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256' })).received).toBe('');
});

test('a handshake that stalls is ended at its time, and not before', async () => {
  const listener = await listen();
  const socket = connectTcp(listener.port, '127.0.0.1');
  await once(socket, 'connect');
  const from = performance.now();
  await once(socket, 'close');
  // The timer began when the connection was accepted, which may be before it was heard of here.
  expect(performance.now() - from).toBeGreaterThan(HANDSHAKE_MS - 50);
  expect(listener.outcomes).toEqual(['TLS_HANDSHAKE_TIMEOUT ']);
});

test('a handshake that stalls for a while, and goes on within its time, is none that is ended', async () => {
  const listener = await listen([acme.config, globex.config], 'TLSv1.3', 60_000);
  const socket = connectTcp(listener.port, '127.0.0.1');
  await once(socket, 'connect');
  // As long as the other may take.
  await new Promise((resolve) => setTimeout(resolve, HANDSHAKE_MS + 100));
  expect(listener.outcomes).toEqual([]);
  socket.destroy();
});

describe.each<MinTlsVersion>(['TLSv1.3', 'TLSv1.2'])('a session (%s)', (version) => {
  test('is resumed neither by its own tenant nor by another', async () => {
    const listener = await listen([acme.config, globex.config], version);
    const first = await dial(listener, { ...clientOf(acme), maxVersion: version });
    expect(first.received).toBe('hello');
    expect(first.sessions.length).toBeGreaterThan(0);
    for (const session of first.sessions) {
      for (const tenant of [acme, globex]) {
        const again = await dial(listener, { ...clientOf(tenant), maxVersion: version, session });
        expect(again).toMatchObject({ received: 'hello', reused: false });
      }
      // Without a certificate of its own a stolen session gets nowhere.
      const bare = await dial(listener, { servername: globex.pki.serverName, maxVersion: version, session });
      expect(bare.received).toBe('');
    }
  });

  test('would be resumed by an ordinary listener, so the client is able to', async () => {
    const server = createServer(
      { cert: acme.pki.server.certPem, key: acme.pki.server.keyPem, ALPNProtocols: ['h2'] },
      (socket) => {
        socket.on('error', () => undefined);
        socket.end('hello');
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    open = { server, sockets: [] };
    const address = server.address();
    const listener = {
      port: isAddress(address) ? address.port : 0,
      outcomes: [],
      contexts: new TlsContexts(),
      clients: [],
    };
    const first = await dial(listener, { ...clientOf(acme), maxVersion: version });
    const session = first.sessions[0];
    expect(session).toBeDefined();
    const again = await dial(listener, {
      ...clientOf(acme),
      maxVersion: version,
      ...(session === undefined ? {} : { session }),
    });
    expect(again.reused).toBe(true);
  });
});

test('a presented chain through intermediates is verified again up to the tenant’s CA', async () => {
  const root = createCa({ commonName: 'root', days: 1, pathLength: 2 });
  const upper = createCa({ commonName: 'upper', days: 1, pathLength: 1 }, root);
  const lower = createCa({ commonName: 'lower', days: 1 }, upper);
  const client = issueClient(lower, { spiffeId: acme.pki.spiffeId, days: 1 });
  const tenant = { ...acme.config, digest: 'chain', clientCaPem: root.certPem };
  const listener = await listen([tenant]);
  const chain = client.certPem + lower.certPem + upper.certPem;
  const view = await dial(listener, { servername: acme.pki.serverName, cert: chain, key: client.keyPem });
  expect(view.received).toBe('hello');
  const [certificate] = listener.clients;
  if (certificate === undefined) throw new Error('no certificate');
  const verdict = (ca: string): boolean =>
    acceptPeer(
      acme.claim,
      certificate,
      { address: '127.0.0.1', port: 1 },
      { trustDomain: acme.pki.trustDomain, clientCas: [new X509Certificate(ca)] },
      micros(Date.now() / 1000),
    ).ok;
  expect(verdict(root.certPem)).toBe(true);
  expect(verdict(globex.pki.ca.certPem)).toBe(false);
});

test('an intermediate listed without its root is trusted as listed', async () => {
  const root = createCa({ commonName: 'root', days: 1, pathLength: 1 });
  const middle = createCa({ commonName: 'middle', days: 1 }, root);
  const client = issueClient(middle, { spiffeId: acme.pki.spiffeId, days: 1 });
  const listener = await listen([{ ...acme.config, digest: 'partial', clientCaPem: middle.certPem }]);
  const view = await dial(listener, { servername: acme.pki.serverName, cert: client.certPem, key: client.keyPem });
  expect(view.received).toBe('hello');
});

describe('contexts', () => {
  test('are compiled once for each configuration of a tenant', () => {
    const contexts = new TlsContexts();
    const first = contexts.contextFor(acme.config, 'TLSv1.3');
    expect(contexts.contextFor({ ...acme.config }, 'TLSv1.3')).toBe(first);
    expect(contexts.contextFor({ ...acme.config, digest: 'changed' }, 'TLSv1.3')).not.toBe(first);
    expect(contexts.size).toBe(2);
  });

  test('are dropped when their configuration is gone', () => {
    const contexts = new TlsContexts();
    contexts.contextFor(acme.config, 'TLSv1.3');
    contexts.contextFor(globex.config, 'TLSv1.3');
    contexts.retain((tenant, digest) => tenant === globex.config.id && digest === globex.config.digest);
    expect(contexts.size).toBe(1);
  });

  test('are dropped when nobody asked for them between two sweeps', () => {
    const contexts = new TlsContexts();
    contexts.contextFor(acme.config, 'TLSv1.3');
    contexts.contextFor(globex.config, 'TLSv1.3');
    contexts.dropIdle();
    contexts.contextFor(acme.config, 'TLSv1.3');
    contexts.dropIdle();
    expect(contexts.size).toBe(1);
  });
});
