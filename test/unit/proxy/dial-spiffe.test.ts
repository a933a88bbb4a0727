/**
 * An upstream that is verified by its SPIFFE id, and one whose certificates are not there.
 */
import type { Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../../src/config/upstream-config.ts';
import { createCa, type IssuedCertificate } from '../../../src/identity/issue.ts';
import type { Result } from '../../../src/kernel/result.ts';
import { dial } from '../../../src/proxy/dial.ts';
import { craftClient } from '../../fakes/crafted-certificates.ts';

const ca = createCa({ commonName: 'platform.example', days: 1 });
const ID = 'spiffe://platform.example/models';
const serverAuth = { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] };

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function dialled(shown: IssuedCertificate, tls: Partial<NonNullable<UpstreamConfig['tls']>>): Promise<string> {
  const server = createServer({ cert: shown.certPem, key: shown.keyPem, ALPNProtocols: ['h2'] });
  servers.push(server);
  server.on('secureConnection', (socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const config: UpstreamConfig = {
    target: { kind: 'tcp', host: '127.0.0.1', port },
    tls: { caPem: ca.certPem, serverName: 'models.test', clientCertificate: undefined, ...tls },
    display: `https://127.0.0.1:${port}`,
    connectTimeoutMs: 10_000,
    maxConnections: 1,
    maxPendingCalls: 1,
    authority: 'models.test',
  };
  const result = await new Promise<Result<Socket, string>>((resolve) => dial(config, resolve));
  if (!result.ok) return result.error;
  result.value.destroy();
  return 'connected';
}

describe('an upstream’s SPIFFE id', () => {
  it('lets it be connected to, whatever name it has', async () => {
    const shown = craftClient(ca, ID, serverAuth);
    expect(await dialled(shown, { spiffeId: ID })).toBe('connected');
    // Counter-proof: it is the id that does.
    expect(await dialled(shown, {})).toMatch(/altnames|Hostname/i);
  });

  it.each([
    ['another id', craftClient(ca, `${ID}/other`, serverAuth), /not spiffe.*models, but spiffe.*other/],
    ['another trust domain', craftClient(ca, 'spiffe://globex.example/models', serverAuth), /but spiffe:\/\/globex/],
    [
      'two ids',
      craftClient(ca, ID, {
        ...serverAuth,
        subjectAltNames: [
          { kind: 'uri', uri: ID },
          { kind: 'uri', uri: `${ID}2` },
        ],
      }),
      /none/,
    ],
    [
      'a name only',
      craftClient(ca, ID, { ...serverAuth, subjectAltNames: [{ kind: 'dns', name: 'models.test' }] }),
      /none/,
    ],
    [
      'the right id by another authority',
      craftClient(createCa({ commonName: 'x', days: 1 }), ID, serverAuth),
      /unable|self/,
    ],
  ] as const)('keeps one out that shows %s', async (_what, shown, why) => {
    expect(await dialled(shown, { spiffeId: ID })).toMatch(why);
  });
});

it('an upstream whose certificate is missing is not connected to without it', async () => {
  const shown = craftClient(ca, ID, serverAuth);
  const missing = 'the Workload API does not give spiffe://acme.example/egress';
  expect(await dialled(shown, { spiffeId: ID, missing })).toBe(missing);
  expect(servers[0]?.listening).toBe(true);
});
