/**
 * Egress listeners: what they become, and every way in which they can be wrong.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { withEgressSlots } from '../../../src/config/egress.ts';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { MAX_EGRESS_LISTENERS } from '../../../src/config/schema-egress.ts';
import { createCa, issueServer } from '../../../src/identity/issue.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import {
  EGRESS_MAIN,
  edit,
  SMALL_MAIN,
  write,
  writeClientPki,
  writeEgress,
  writeExample,
  writeSmall,
} from '../../fakes/configuration.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

async function loaded(mainFile: string): Promise<Generation> {
  const result = await new ConfigurationLoader({ environment: {} }).load(mainFile, undefined);
  if (!result.ok) throw new Error(JSON.stringify(result.error, undefined, 2));
  return result.value;
}

function egressWith(before: string, after: string): string {
  const directory = temporaryDirectory();
  writeEgress(directory);
  edit(join(directory, 'bulkhead.yaml'), before, after);
  return directory;
}

describe('an egress sidecar', () => {
  test('has its listeners, and no tenants’ port', async () => {
    const directory = temporaryDirectory();
    const generation = await loaded(writeEgress(directory));
    expect(generation.listener).toBeUndefined();
    expect(generation.tenants).toEqual([]);
    expect(generation.egress).toEqual([
      {
        listen: '127.0.0.1:9001',
        address: { kind: 'tcp', host: '127.0.0.1', port: 9001 },
        slot: 0,
        tenant: 'acme',
        byteAccountBytes: 64 * 1024 ** 2,
        upstream: {
          target: { kind: 'tcp', host: 'acme.test', port: 8443 },
          tls: {
            caPem: readFileSync(join(directory, 'pki/acme/ingress-ca.pem'), 'utf8'),
            serverName: 'acme.test',
            clientCertificate: {
              chainPem: readFileSync(join(directory, 'pki/acme/client.pem'), 'utf8'),
              keyPem: readFileSync(join(directory, 'pki/acme/client-key.pem'), 'utf8'),
            },
          },
          display: 'https://acme.test:8443',
          connectTimeoutMs: 2_000,
          minConnections: 0,
          maxConnections: 4,
          idleTimeoutMs: 300_000,
          maxPendingCalls: 1024,
          circuit: { failures: 5, openMs: 1_000, maxOpenMs: 30_000 },
          authority: 'acme.test',
        },
      },
    ]);
  });

  test('sends the server name as the authority, unless it is told another', async () => {
    const named = egressWith('acme.test:8443\n', 'acme.test:8443\n      serverName: in.acme.test\n');
    expect((await loaded(join(named, 'bulkhead.yaml'))).egress[0]?.upstream.authority).toBe('in.acme.test');
    const told = egressWith('acme.test:8443\n', 'acme.test:8443\n      authority: models:1\n');
    expect((await loaded(join(told, 'bulkhead.yaml'))).egress[0]?.upstream.authority).toBe('models:1');
  });

  test.each([
    ['"[::1]:9001"', '[::1]:9001', { kind: 'tcp', host: '::1', port: 9001 }],
    ['127.8.9.1:9001', '127.8.9.1:9001', { kind: 'tcp', host: '127.8.9.1', port: 9001 }],
    ['unix:/run/acme.sock', 'unix:/run/acme.sock', { kind: 'unix', path: '/run/acme.sock' }],
  ])('may listen on %s', async (written, listen, address) => {
    const directory = egressWith('listen: 127.0.0.1:9001', `listen: ${written}`);
    expect((await loaded(join(directory, 'bulkhead.yaml'))).egress[0]).toMatchObject({ listen, address });
  });

  test('may be the ingress too', async () => {
    const directory = temporaryDirectory();
    writeSmall(directory);
    writeClientPki(directory, 'acme');
    write(join(directory, 'bulkhead.yaml'), SMALL_MAIN + EGRESS_MAIN.slice(EGRESS_MAIN.indexOf('egress:')));
    const generation = await loaded(join(directory, 'bulkhead.yaml'));
    expect([generation.listener?.port, generation.tenants.length, generation.egress.length]).toEqual([8443, 1, 1]);
  });

  test('is what the example shows', async () => {
    const directory = temporaryDirectory();
    writeExample(directory);
    writeClientPki(directory, 'acme');
    const { egress, listener } = await loaded(join(directory, 'egress.yaml'));
    expect(listener).toBeUndefined();
    expect(egress).toMatchObject([{ tenant: 'acme', listen: '127.0.0.1:9001', byteAccountBytes: 64 * 1024 ** 2 }]);
  });

  test('has another digest when its certificate has changed', async () => {
    const directory = temporaryDirectory();
    const mainFile = writeEgress(directory);
    const before = await loaded(mainFile);
    writeClientPki(directory, 'acme');
    const after = await loaded(mainFile);
    expect(after.digest).not.toBe(before.digest);
    expect(after.egress[0]?.upstream.tls).not.toEqual(before.egress[0]?.upstream.tls);
  });
});

const LISTEN = 'listen: 127.0.0.1:9001';
const ADDRESS = 'https://acme.test:8443';
const WRONG: readonly (readonly [
  what: string,
  before: string,
  after: string,
  at: string,
  message: RegExp,
  fix: RegExp,
])[] = [
  [
    'every interface',
    LISTEN,
    'listen: 0.0.0.0:9001',
    '4:13 egress[0].listen',
    /not a loopback address/,
    /127\.0\.0\.1/,
  ],
  ['a pod’s address', LISTEN, 'listen: 10.1.2.3:9001', '4:13 egress[0].listen', /speak as the tenant/, /unix:/],
  ['any IPv6', LISTEN, 'listen: "[::]:9001"', '4:13 egress[0].listen', /not a loopback address/, /\[::1\]/],
  ['a name', LISTEN, 'listen: localhost:9001', '4:13 egress[0].listen', /not an address to listen on/, /port/],
  ['no port', LISTEN, 'listen: 127.0.0.1', '4:13 egress[0].listen', /not an address to listen on/, /port/],
  ['any port', LISTEN, 'listen: 127.0.0.1:0', '4:13 egress[0].listen', /port 0/, /1 to 65535/],
  ['a port too high', LISTEN, 'listen: 127.0.0.1:65536', '4:13 egress[0].listen', /not an address/, /port/],
  ['a relative socket', LISTEN, 'listen: unix:acme.sock', '4:13 egress[0].listen', /not absolute/, /unix:\/path/],
  [
    'the admin port',
    LISTEN,
    'listen: 127.0.0.1:9901',
    '4:13 egress[0].listen',
    /port 9901 is the admin port/,
    /another/,
  ],
  [
    'a health check, which the ingress does',
    ADDRESS,
    'https://acme.test:8443\n      healthCheck: {}',
    '8:7 egress[0].upstream.healthCheck',
    /not a known key/,
    /known here: address/,
  ],
  ['clear text', ADDRESS, 'http://acme.test:8443', '7:16 egress[0].upstream.address', /without TLS/, /https:/],
  ['a socket upstream', ADDRESS, 'unix:/run/in.sock', '7:16 egress[0].upstream.address', /without TLS/, /https:/],
  ['no address', ADDRESS, 'acme.test', '7:16 egress[0].upstream.address', /not an address/, /https:/],
  ['a tenant that is none', 'tenant: acme', 'tenant: Acme', '5:13 egress[0].tenant', /not a tenant id/, /acme/],
  ['no tenant', '    tenant: acme\n', '', '4:5 egress[0].tenant', /is missing/, /tenant/],
  [
    'no certificate',
    '      clientCertificate:\n        chain: pki/acme/client.pem\n        key: pki/acme/client-key.pem\n',
    '',
    '7:7 egress[0].upstream.clientCertificate',
    /is missing/,
    /chain, key/,
  ],
  ['a CA that is not there', 'ingress-ca.pem', 'none.pem', '8:11 egress[0].upstream.ca', /does not exist/, /path/],
  [
    'a key that is none',
    'client-key.pem',
    'client.pem',
    '11:14 egress[0].upstream.clientCertificate.key',
    /no PEM/,
    /key/,
  ],
  [
    'an account too small',
    'tenant: acme',
    'tenant: acme\n    byteAccount: 1KiB',
    '6:18 egress[0].byteAccount',
    /256KiB/,
    /64MiB/,
  ],
  [
    'an unknown key',
    'tenant: acme',
    'tenant: acme\n    tennant: x',
    '6:5 egress[0].tennant',
    /not a known key/,
    /tenant/,
  ],
];

describe('what is wrong', () => {
  test.each(WRONG)('finds %s at its place', async (_, before, after, at, message, fix) => {
    const { refused, lines } = await findingsOf(egressWith(before, after));
    expect(refused).toBe(true);
    expect(lines).toEqual([
      {
        at: `bulkhead.yaml:${at}`,
        severity: 'error',
        message: expect.stringMatching(message),
        fix: expect.stringMatching(fix),
      },
    ]);
  });

  test('finds one address for two tenants', async () => {
    const entry = EGRESS_MAIN.slice(EGRESS_MAIN.indexOf('  - listen'));
    const { lines } = await findingsOf(egressWith(entry, entry + entry));
    expect(lines).toMatchObject([
      { at: 'bulkhead.yaml:12:13 egress[1].listen', message: '127.0.0.1:9001 stands twice' },
    ]);
  });

  test('finds a server’s certificate, which no ingress would take from a client', async () => {
    const directory = egressWith(LISTEN, LISTEN);
    const ca = createCa({ commonName: 'CA', days: 365 });
    const server = issueServer(ca, { dnsNames: ['acme.test'], days: 365 });
    write(join(directory, 'pki/acme/client.pem'), server.certPem);
    write(join(directory, 'pki/acme/client-key.pem'), server.keyPem);
    const { lines } = await findingsOf(directory);
    expect(lines).toMatchObject([
      { at: 'bulkhead.yaml:10:16 egress[0].upstream.clientCertificate.chain', message: /not allowed to be a client’s/ },
    ]);
  });

  test('finds a certificate that has expired', async () => {
    const directory = egressWith(LISTEN, LISTEN);
    const { lines } = await findingsOf(directory, { nowMs: () => Date.now() + 400 * 86_400_000 });
    expect(lines.map(({ at }) => at)).toEqual([
      'bulkhead.yaml:8:11 egress[0].upstream.ca',
      'bulkhead.yaml:10:16 egress[0].upstream.clientCertificate.chain',
    ]);
  });

  test('takes as many listeners as there may be, and not one more', async () => {
    const entry = EGRESS_MAIN.slice(EGRESS_MAIN.indexOf('  - listen'));
    const entries = (count: number): string =>
      Array.from({ length: count }, (_, index) => entry.replace('9001', `${10_000 + index}`)).join('');
    expect((await findingsOf(egressWith(entry, entries(MAX_EGRESS_LISTENERS)))).lines).toEqual([]);
    const { lines } = await findingsOf(egressWith(entry, entries(MAX_EGRESS_LISTENERS + 1)));
    expect(lines).toMatchObject([{ at: 'bulkhead.yaml:4:3 egress', message: /more than 64/ }]);
  });

  test('finds a sidecar without any role, and half a role', async () => {
    const none = await findingsOf(egressWith(EGRESS_MAIN.slice(EGRESS_MAIN.indexOf('egress:')), ''));
    expect(none.lines).toMatchObject([{ at: 'bulkhead.yaml:1:1', fix: /listen and tenants .* egress/ }]);
    const unheard = await findingsOf(egressWith('egress:', 'tenants: pki/\negress:'));
    expect(unheard.lines).toContainEqual(
      expect.objectContaining({ at: 'bulkhead.yaml:3:1 tenants', severity: 'error' }),
    );
  });
});

describe('a listener’s cell in the shared table', () => {
  const draft = { address: { kind: 'unix', path: '/x' }, byteAccountBytes: 1, upstream: undefined } as const;
  // Only the names matter here.
  const drafts = (...listens: string[]) =>
    listens.map((listen) => ({ ...draft, listen, tenant: 'acme' })) as unknown as Parameters<typeof withEgressSlots>[0];
  const slots = (egress: ReturnType<typeof withEgressSlots>) => egress.map(({ listen, slot }) => [listen, slot]);

  test('stays its own, and is not given to another while calls of the generation before may run', () => {
    const first = withEgressSlots(drafts('a', 'b'), undefined);
    expect(slots(first)).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    // A generation of which only the listeners are looked at.
    const second = withEgressSlots(drafts('c', 'b'), { egress: first } as unknown as Generation);
    expect(slots(second)).toEqual([
      ['c', 2],
      ['b', 1],
    ]);
  });
});
