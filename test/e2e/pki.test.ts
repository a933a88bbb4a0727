/**
 * Issued certificates before their judges: OpenSSL, Go's and Java's own TLS, and the sidecar, which is called while its certificate,
 * its clients' and then the CA are replaced.
 */
import { execFile, execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InferenceClient } from '../../src/demo/inference-client.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerFile } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';
import { type Inferring, SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const SERVER_NAME = 'acme.models.test';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-pki-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One PKI directory, driven by its command line as an operator would. */
class Pki {
  readonly path: string;

  constructor(name: string, init: readonly string[] = []) {
    this.path = join(folder, name);
    execFileSync(process.execPath, [MAIN, 'pki', 'init', this.path, ...init], { encoding: 'utf8' });
    this.run('tenant', 'acme', '--trust-domain', 'acme.example', '--permit-dns', 'models.test');
  }

  run(command: string, ...args: readonly string[]): string {
    return execFileSync(process.execPath, [MAIN, 'pki', command, '-d', this.path, ...args], { encoding: 'utf8' });
  }

  /** The same while the test's own clients and model server go on. */
  async beside(command: string, ...args: readonly string[]): Promise<void> {
    await promisify(execFile)(process.execPath, [MAIN, 'pki', command, '-d', this.path, ...args]);
  }

  of(tenant: string, file: string): string {
    return join(this.path, 'tenants', tenant, file);
  }
}

function judged(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe', timeout: 60_000 }).trim();
  } catch (error) {
    return error instanceof Error && 'stdout' in error
      ? `${String(error.stdout)}${'stderr' in error ? String(error.stderr) : ''}`.trim()
      : String(error);
  }
}

const JUDGES: Readonly<
  Record<
    string,
    (pki: Pki, changes?: { readonly server?: string; readonly client?: string; readonly name?: string }) => string
  >
> = {
  Go: (pki, changes = {}) => judged(peerFile('bin/certificate-judge'), handshake(pki, changes)),
  Java: (pki, changes = {}) =>
    judged('java', ['-cp', peerFile('lib/certificate-judge'), 'Judge', ...handshake(pki, changes)]),
};

function handshake(
  pki: Pki,
  { server = `server/${SERVER_NAME}`, client = 'client/trainer', name = SERVER_NAME },
): readonly string[] {
  const files = ['ca-bundle.pem', 'crl.pem', server, client].map((file) => pki.of('acme', file));
  return [...files, name, 'spiffe://acme.example/trainer'];
}

function openssl(pki: Pki, leaf: string, ...options: readonly string[]): string {
  const against = [
    '-CAfile',
    pki.of('acme', 'ca-bundle.pem'),
    '-CRLfile',
    pki.of('acme', 'crl.pem'),
    '-crl_check',
    '-partial_chain',
  ];
  const chain = pki.of('acme', `${leaf}/chain.pem`);
  return judged('openssl', ['verify', '-x509_strict', '-no-CApath', ...against, ...options, chain]);
}

describe.each([
  ['P-256', []],
  ['Ed25519', ['--key-algorithm', 'Ed25519']],
  ['P-256 under a root', ['--root']],
] as const)('%s certificates', (name, init) => {
  let pki: Pki;
  beforeAll(() => {
    pki = new Pki(name.replaceAll(' ', '-'), init);
    pki.run('issue', '-t', 'acme', '--server', SERVER_NAME);
    pki.run('issue', '-t', 'acme', '--client', 'trainer', 'stolen');
    pki.run('issue', '-t', 'acme', '--client', 'trainer', '--name', 'reissued');
    pki.run('revoke', pki.of('acme', 'client/stolen/chain.pem'), '--reason', 'keyCompromise');
  });

  it('pass openssl verify -x509_strict with their revocation list, each for its purpose', () => {
    expect(openssl(pki, `server/${SERVER_NAME}`, '-purpose', 'sslserver', '-verify_hostname', SERVER_NAME)).toMatch(
      /: OK$/,
    );
    expect(openssl(pki, 'client/trainer', '-purpose', 'sslclient')).toMatch(/: OK$/);
    expect(openssl(pki, 'client/trainer', '-purpose', 'sslserver')).toContain('unsuitable certificate purpose');
    expect(openssl(pki, `server/${SERVER_NAME}`, '-purpose', 'sslclient')).toContain('unsuitable certificate purpose');
    expect(openssl(pki, 'client/stolen', '-purpose', 'sslclient')).toContain('certificate revoked');
  });

  it.each(Object.entries(JUDGES))('pass %s’s mutual handshake, and what is wrong does not', (_, judge) => {
    expect(judge(pki)).toBe('OK');
    expect(judge(pki, { client: 'client/reissued' })).toBe('OK');
    expect(judge(pki, { name: 'globex.models.test' })).toMatch(/globex\.models\.test|No subject alternative/);
    expect(judge(pki, { client: 'client/stolen' })).toMatch(/revoked/i);
    // Each stands in the other's place.
    expect(judge(pki, { client: `server/${SERVER_NAME}` })).toMatch(/incompatible key usage|Extended key usage/);
    expect(judge(pki, { server: 'client/trainer' })).toMatch(
      /incompatible key usage|not valid for|Extended key usage|doesn't contain any/,
    );
  });

  it.each(Object.entries(JUDGES))('stay good to %s through a rotation of the CA', (_, judge) => {
    pki.run('rotate', '-t', 'acme', '--ca');
    expect(judge(pki)).toBe('OK');
    pki.run('rotate', '-t', 'acme', '--ca', '--activate');
    pki.run('rotate', '-t', 'acme', 'trainer');
    // One leaf of each CA.
    expect(judge(pki)).toBe('OK');
    pki.run('rotate', '-t', 'acme');
    expect(judge(pki)).toBe('OK');
  });
});

describe('a sidecar that runs on issued certificates', () => {
  let pki: Pki;
  let upstream: ModelUpstream;
  let sidecar: Sidecar;

  beforeAll(async () => {
    pki = new Pki('served');
    pki.run('issue', '-t', 'acme', '--server', SERVER_NAME);
    pki.run('issue', '-t', 'acme', '--client', 'trainer');
    pki.run('tenant', 'globex', '--trust-domain', 'globex.example');
    pki.run('issue', '-t', 'globex', '--client', 'trainer');
    upstream = await ModelUpstream.start();
    const leaf = pki.of('acme', `server/${SERVER_NAME}`);
    const extra = {
      certificate: { chain: join(leaf, 'chain.pem'), key: join(leaf, 'key.pem') },
      clientCa: pki.of('acme', 'ca-bundle.pem'),
      trustDomain: 'acme.example',
    };
    sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address, extra }] });
  });
  afterAll(async () => {
    await sidecar?.stop();
    upstream?.stop();
  });

  /** A client as it starts now: with the files that are there now. */
  function client(tenant = 'acme'): InferenceClient {
    // The link is followed once, so that both files are of one version.
    const own = realpathSync(pki.of(tenant, 'client/trainer'));
    const [certPem, keyPem] = ['chain.pem', 'key.pem'].map((file) => readFileSync(join(own, file), 'utf8'));
    return new InferenceClient({
      target: `127.0.0.1:${sidecar.port}`,
      serverName: SERVER_NAME,
      caPem: readFileSync(pki.of('acme', 'ca-bundle.pem'), 'utf8'),
      certificate: { certPem: certPem ?? '', keyPem: keyPem ?? '' },
      metadata: {},
    });
  }

  /** Connects anew for each call. */
  const newcomer: Inferring = {
    async infer(request) {
      const once = client();
      try {
        return await once.infer(request);
      } finally {
        once.close();
      }
    },
  };

  /** The serial and issuer of the certificate that the sidecar shows now. */
  function shown(): Promise<X509Certificate> {
    const own = realpathSync(pki.of('acme', 'client/trainer'));
    return new Promise((resolve, reject) => {
      const socket = connect({
        port: sidecar.port,
        host: '127.0.0.1',
        servername: SERVER_NAME,
        ca: readFileSync(pki.of('acme', 'ca-bundle.pem')),
        cert: readFileSync(join(own, 'chain.pem')),
        key: readFileSync(join(own, 'key.pem')),
        ALPNProtocols: ['h2'],
      });
      socket.on('secureConnect', () => {
        const certificate = socket.getPeerX509Certificate();
        socket.destroy();
        if (certificate === undefined) reject(new Error('no certificate'));
        else resolve(certificate);
      });
      socket.on('error', reject);
    });
  }

  async function generation(): Promise<number> {
    const { text } = await sidecar.admin('/metrics');
    return Number(/^bulkhead_config_generation (\d+)$/m.exec(text)?.[1]);
  }

  /** Every worker has taken so many changes. */
  const taken = (expected: number): Promise<true> =>
    until(`generation ${expected}`, async () => ((await generation()) === expected ? true : undefined), 20_000);

  it('fails no call while leafs and then the CA are rotated', async () => {
    const clients = [client()];
    const stayer: Inferring = { infer: (request) => (clients.at(-1) ?? newcomer).infer(request) };
    const load = new SteadyLoad([stayer, newcomer], 3, 'digits', 5);
    const more = async (): Promise<void> => {
      const at = load.calls.length;
      await until('calls', () => (load.calls.length > at + 50 ? true : undefined), 20_000);
    };
    await more();
    await pki.beside('rotate', '-t', 'acme');
    await taken(2);
    await more();
    const leaf = new X509Certificate(readFileSync(pki.of('acme', `server/${SERVER_NAME}/chain.pem`)));
    expect((await shown()).serialNumber).toBe(leaf.serialNumber);
    await pki.beside('rotate', '-t', 'acme', '--ca');
    await taken(3);
    // Who stays has to be told of the new CA before it signs: the sidecar's change of trust makes them connect anew.
    clients.push(client());
    await more();
    await pki.beside('rotate', '-t', 'acme', '--ca', '--activate');
    await pki.beside('rotate', '-t', 'acme');
    await taken(4);
    await more();
    expect((await shown()).issuer).toBe('CN=Bulkhead CA 2 of tenant acme');
    await load.stop();
    for (const each of clients) each.close();
    expect(load.failed).toEqual([]);
  });

  it('takes no other tenant’s client, though it has the same path', async () => {
    const [own, other] = [client(), client('globex')];
    expect(await own.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    expect(await other.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'UNAVAILABLE' });
    own.close();
    other.close();
    expect(pki.run('list')).toMatch(/globex +client +trainer +valid/);
  });

  it('stops taking the clients of a CA that was replaced without overlap', async () => {
    const old = client();
    expect(await old.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    const before = await generation();
    pki.run('rotate', '-t', 'acme', '--ca', '--no-overlap');
    await until('the bundle', async () => ((await generation()) > before ? true : undefined), 20_000);
    await until(
      'its end',
      async () => ((await old.infer({ modelName: 'digits', inputs: [] })).code === 'OK' ? undefined : true),
      20_000,
    );
    old.close();
    pki.run('rotate', '-t', 'acme');
    await until(
      'a call by the new one',
      async () => {
        const { code } = await newcomer.infer({ modelName: 'digits', inputs: [] });
        return code === 'OK' ? true : undefined;
      },
      20_000,
    );
  });
});
