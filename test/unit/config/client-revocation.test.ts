/**
 * Revocation lists of a tenant's CAs: what is read, and what is refused where it is named.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { createCa, type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { type FoundLine, findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';
import { revocationList } from '../../fakes/revocation-lists.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

const ca = createCa({ commonName: 'acme CA', days: 365 });
const other = createCa({ commonName: 'other CA', days: 365 });
const client = issueClient(ca, { dnsNames: ['a.test'], days: 1 });

/** The small configuration with acme's CA, this list, and this said of it. */
function configured(list: string | Buffer, said = 'crl: { files: [../crl.pem] }'): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  write(join(directory, 'pki/acme/client-ca.pem'), ca.certPem);
  write(join(directory, 'crl.pem'), list.toString());
  edit(join(directory, 'tenants/acme.yaml'), 'trustDomain:', `clientRevocation:\n  ${said}\ntrustDomain:`);
  return directory;
}

class Loads {
  readonly #loader = new ConfigurationLoader({ environment: {} });
  readonly directory: string;
  #generation: Generation | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  async load(): Promise<Generation> {
    const loaded = await this.#loader.load(join(this.directory, 'bulkhead.yaml'), this.#generation);
    if (!loaded.ok) throw new Error(loaded.error.map(({ message }) => message).join());
    this.#generation = loaded.value;
    return loaded.value;
  }
}

const numbers = ({ tenants }: Generation): unknown => tenants[0]?.clientRevocation?.lists.map(({ number }) => number);
const list = (by: IssuedCertificate, number = 1): string => revocationList(by, { number, revoked: [client.certPem] });

describe('clientRevocation', () => {
  test('has the lists of its files, with defaults that refuse', async () => {
    const loads = new Loads(configured(list(ca, 4)));
    const generation = await loads.load();
    expect(numbers(generation)).toEqual(['4']);
    expect(generation.tenants[0]?.clientRevocation).toMatchObject({
      urls: [],
      graceMs: 0,
      whenUnknown: 'refuse',
      refreshMs: 300_000,
    });
  });

  test('takes a newer list, and no older one', async () => {
    const loads = new Loads(configured(list(ca, 4)));
    await loads.load();
    const file = join(loads.directory, 'crl.pem');
    write(file, list(ca, 5));
    expect(numbers(await loads.load())).toEqual(['5']);
    write(file, list(ca, 4));
    await expect(loads.load()).rejects.toThrow(/holds an older list of CN=acme CA than before/);
    write(file, list(ca, 5));
    expect(numbers(await loads.load())).toEqual(['5']);
  });

  test.each([
    ['no list', '', /holds no revocation list/],
    ['another CA’s list', list(other), /of a CA that is not among the client CAs/],
    [
      'a list that was changed',
      list(ca).replace(/\n(.)/, (_, first: string) => `\n${first === 'M' ? 'N' : 'M'}`),
      /malformed/,
    ],
  ])('refuses a file with %s, where it is named', async (_name, text, message) => {
    const { refused, lines } = await findingsOf(configured(text));
    expect(refused).toBe(true);
    expect(lines[0]?.at).toContain('clientRevocation.crl.files[0]');
    expect(lines[0]?.message).toMatch(message);
  });

  test.each([
    ['nothing', 'crl: {}', /names no revocation list/],
    ['a file that is not there', 'crl: { files: [../gone.pem] }', /gone.pem/],
    ['a URL that is not safe', 'crl: { urls: [{ url: "http://crl.test/" }] }', /not safe/],
  ])('refuses %s', async (_name, said, message) => {
    const { refused, lines } = await findingsOf(configured(list(ca), said));
    expect(refused).toBe(true);
    expect(lines.map((line) => line.message).join()).toMatch(message);
  });

  test('warns of a list that has ended, and of a CA without one: what becomes of clients is said elsewhere', async () => {
    const ended = revocationList(ca, { thisUpdate: new Date(1e12), nextUpdate: new Date(1.1e12) });
    const directory = configured(ended);
    const bundle = join(directory, 'pki/acme/client-ca.pem');
    write(bundle, readFileSync(bundle, 'utf8') + other.certPem);
    const { refused, lines } = await findingsOf(directory);
    expect(refused).toBe(false);
    const warning: Partial<FoundLine> = { severity: 'warning' };
    expect(lines).toEqual([
      expect.objectContaining({ ...warning, message: expect.stringContaining('no revocation list of CN=other CA') }),
      expect.objectContaining({
        ...warning,
        message: expect.stringContaining('holds a revocation list of CN=acme CA that ended at'),
      }),
    ]);
  });
});

describe('clientRevocation.ocsp', () => {
  const ocsp = async (said: string): Promise<unknown> => {
    const { tenants } = await new Loads(configured('', `ocsp: ${said}`)).load();
    return tenants[0]?.clientRevocation;
  };
  const defaults = { whenUnknown: 'refuse', timeoutMs: 3_000, maxAgeMs: 3_600_000, hash: 'sha1', nonce: false };

  test('names a responder, with defaults that refuse, and asks no lists', async () => {
    const responder = { url: 'https://ocsp.example/', caPem: undefined, allowHttp: false };
    expect(await ocsp('{ responder: { url: https://ocsp.example/ } }')).toMatchObject({
      ...{ lists: [], urls: [], whenUnknown: 'allow' },
      ocsp: { responder, ...defaults },
    });
    const all = '{ fromCertificate: true, timeout: 1s, maxAge: 5m, whenUnknown: allow, hash: sha256, nonce: true }';
    expect(await ocsp(all)).toMatchObject({
      ocsp: {
        responder: undefined,
        timeoutMs: 1_000,
        maxAgeMs: 300_000,
        whenUnknown: 'allow',
        hash: 'sha256',
        nonce: true,
      },
    });
  });

  test.each([
    ['ocsp: {}', /names no responder/],
    ['ocsp: { fromCertificate: true, responder: { url: https://ocsp.example/ } }', /names a responder, and says/],
    ['ocsp: { responder: { url: http://ocsp.example/ } }', /https|http/],
    ['{}', /asks nobody/],
  ])('is refused as %s', async (said, expected) => {
    await expect(new Loads(configured('', said)).load()).rejects.toThrow(expected);
  });
});
