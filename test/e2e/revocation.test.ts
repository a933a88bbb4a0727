/**
 * Revocation by lists that others made, in a sidecar that runs: OpenSSL's, from a file and from a URL, and `bulkhead pki`'s. A stream of a
 * client that is taken back ends within a second, and its neighbour's goes on.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { createCa, type IssuedCertificate, issueClient } from '../../src/identity/issue.ts';
import { emptyDirectory } from '../fakes/configuration.ts';
import { FakeUpstream } from '../fakes/fake-upstream.ts';
import { FakeResponder, ocspResponse, subjectFor } from '../fakes/ocsp-responses.ts';
import { RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { RunningStream } from '../fakes/running-stream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { until } from './harness/until.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const run = promisify(execFile);

let upstream: FakeUpstream;
let sidecar: Sidecar | undefined;
let server: Server | undefined;
let responderProcess: ChildProcess | undefined;
const clients: RawGrpcClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await sidecar?.stop();
  server?.close();
  responderProcess?.kill();
  await upstream.stop();
  [sidecar, server, responderProcess] = [undefined, undefined, undefined];
});

/** A CA for clients, whose register OpenSSL keeps. */
class OpenSslCa {
  readonly #directory: string;
  readonly #ca = createCa({ commonName: 'acme clients', days: 1 });

  constructor(directory: string) {
    this.#directory = join(directory, 'register');
    mkdirSync(this.#directory);
    const at = (name: string): string => join(this.#directory, name);
    writeFileSync(at('index.txt'), '');
    writeFileSync(at('crlnumber'), '1000\n');
    writeFileSync(at('ca.pem'), this.#ca.certPem);
    writeFileSync(at('ca.key'), this.#ca.keyPem, { mode: 0o600 });
    const files = `database = ${at('index.txt')}\ncrlnumber = ${at('crlnumber')}\ncertificate = ${at('ca.pem')}\nprivate_key = ${at('ca.key')}`;
    const lists = 'default_md = sha256\ndefault_crl_days = 1\ncrl_extensions = extensions';
    const text = `[ca]\ndefault_ca = acme\n[acme]\n${files}\n${lists}\n[extensions]\nauthorityKeyIdentifier = keyid:always\n`;
    writeFileSync(at('openssl.cnf'), text);
  }

  /** Where the register's directory is. */
  get parent(): string {
    return join(this.#directory, '..');
  }

  /** In the register as good: what OpenSSL has issued itself stands there anyway. */
  enter({ certPem }: IssuedCertificate): void {
    const { serialNumber, validToDate } = new X509Certificate(certPem);
    const end = validToDate.toISOString().replace(/^..|\.\d{3}|[-:T]/g, '');
    appendFileSync(join(this.#directory, 'index.txt'), `V\t${end}\t\t${serialNumber}\tunknown\t/CN=${serialNumber}\n`);
  }

  /** The same, revoked: `openssl ca` revokes by a name, and these have none. */
  takeBack({ certPem }: IssuedCertificate): void {
    const { serialNumber } = new X509Certificate(certPem);
    const file = join(this.#directory, 'index.txt');
    const at = new Date().toISOString().replace(/^..|\.\d{3}|[-:T]/g, '');
    const lines = readFileSync(file, 'utf8').split('\n');
    const changed = lines.map((line) => {
      const [, end = ''] = line.split('\t');
      return line.includes(serialNumber) ? `R\t${end}\t${at}\t${serialNumber}\tunknown\t/CN=${serialNumber}` : line;
    });
    replace(file, Buffer.from(changed.join('\n')));
  }

  issue(name: string): IssuedCertificate {
    return issueClient(this.#ca, { spiffeId: `spiffe://acme.example/${name}`, days: 1 });
  }

  revoke({ certPem }: IssuedCertificate): void {
    const file = join(this.#directory, 'revoked.pem');
    writeFileSync(file, certPem);
    this.#openssl('-revoke', file, '-crl_reason', 'keyCompromise');
  }

  /** Its list as of now. */
  list(form: 'PEM' | 'DER'): Buffer {
    const file = join(this.#directory, 'crl.pem');
    this.#openssl('-gencrl', '-out', file);
    return execFileSync('openssl', ['crl', '-in', file, '-outform', form]);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', ['ca', '-config', join(this.#directory, 'openssl.cnf'), ...args], { stdio: 'pipe' });
  }
}

/** A sidecar with tenant acme, whose clients have another CA than its server. */
async function startWith(clientCa: string, crl: object, prepare: (directory: string) => void): Promise<Sidecar> {
  upstream = await FakeUpstream.start();
  const extra = { clientCa, trustDomain: 'acme.example', clientRevocation: { crl } };
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: `http://127.0.0.1:${upstream.port}`, extra }],
    extra: { fetching: { allowAddresses: ['127.0.0.0/8'] } },
    prepare,
  });
  return sidecar;
}

/** The same, with OpenSSL's CA. */
async function startWithRegister(
  crl: object,
  prepare: (directory: string, ca: OpenSslCa) => void,
): Promise<{ readonly running: Sidecar; readonly ca: OpenSslCa }> {
  let ca: OpenSslCa | undefined;
  const running = await startWith('../register/ca.pem', crl, (directory) =>
    prepare(directory, (ca = new OpenSslCa(directory))),
  );
  if (ca === undefined) throw new Error('it was prepared');
  return { running, ca };
}

async function connect(to: Sidecar, certificate: IssuedCertificate): Promise<RawGrpcClient> {
  const caPem = to.tenant('acme').pki.ca.certPem;
  const client = await RawGrpcClient.connect({ port: to.port, serverName: 'acme.models.test', caPem, ...certificate });
  clients.push(client);
  return client;
}

function replace(file: string, content: Buffer): void {
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}

/** OpenSSL's own responder, over the register of its CA; it reads that anew when it changes. */
async function startResponder(directory: string): Promise<{ readonly url: string; readonly process: ChildProcess }> {
  const at = (name: string): string => join(directory, 'register', name);
  const files = ['-index', at('index.txt'), '-CA', at('ca.pem'), '-rsigner', at('ca.pem'), '-rkey', at('ca.key')];
  // One port or another is free; it is OpenSSL that says which it has got.
  const child = spawn('openssl', ['ocsp', '-port', '0', '-nmin', '1', ...files], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const port = await until('the responder listens', () => said.match(/ACCEPT \S*:(\d+)/)?.[1], 10_000);
  return { url: `http://127.0.0.1:${port}/`, process: child };
}

/** The stream ends as it should, so soon after. */
async function endsWithin(stream: RunningStream, ms: number, from: number): Promise<void> {
  const end = await stream.ended;
  expect(end).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED', inTrailers: true });
  expect(end.at - from).toBeLessThan(ms);
}

it('by a file that OpenSSL writes, in PEM and in DER', async () => {
  const { running, ca } = await startWithRegister({ files: ['../register/acme.crl'] }, (directory, register) => {
    writeFileSync(join(directory, 'register/acme.crl'), register.list('PEM'));
  });
  const file = join(running.directory, 'register/acme.crl');
  const [alice, bob] = [ca.issue('alice'), ca.issue('bob')];
  const neighbour = await RunningStream.begin({ upstream }, await connect(running, bob));
  const stream = await RunningStream.begin({ upstream }, await connect(running, alice));
  replace(file, ca.list('DER'));
  await until(
    'the new list is in use',
    async () => (/"generation":\s*2\b/.test((await running.admin('/config')).text) ? true : undefined),
    10_000,
  );
  await stream.goesOn();
  ca.revoke(alice);
  const list = ca.list('DER');
  const from = performance.now();
  replace(file, list);
  await endsWithin(stream, 1_000, from);
  await expect(connect(running, alice)).rejects.toThrow();
  await neighbour.goesOn();
});

it('by a URL, from where it is fetched at the start, and again', async () => {
  let answer: Buffer = Buffer.alloc(0);
  let given = 0;
  server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/pkix-crl' }).end(answer, () => (given += 1));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/acme.crl`;
  const { running, ca } = await startWithRegister({ urls: [{ url }], refresh: '10s' }, (_, register) => {
    answer = register.list('DER');
  });
  const [alice, bob] = [ca.issue('alice'), ca.issue('bob')];
  await until(
    'the list is in use',
    () =>
      connect(running, alice).then(
        () => true,
        () => undefined,
      ),
    10_000,
  );
  const neighbour = await RunningStream.begin({ upstream }, await connect(running, bob));
  const stream = await RunningStream.begin({ upstream }, await connect(running, alice));
  ca.revoke(alice);
  answer = ca.list('DER');
  const before = given;
  await until('it is fetched again', () => (given > before ? true : undefined), 20_000);
  await endsWithin(stream, 1_000, performance.now());
  await expect(connect(running, alice)).rejects.toThrow();
  await neighbour.goesOn();
});

it('by OpenSSL’s responder, which is asked again while a stream runs', async () => {
  upstream = await FakeUpstream.start();
  const register = new OpenSslCa(emptyDirectory());
  const [alice, bob] = [register.issue('alice'), register.issue('bob')];
  for (const one of [alice, bob]) register.enter(one);
  const responder = await startResponder(register.parent);
  responderProcess = responder.process;
  const ocsp = { responder: { url: responder.url }, maxAge: '2s' };
  const clientCa = join(register.parent, 'register/ca.pem');
  sidecar = await Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream: `http://127.0.0.1:${upstream.port}`,
        extra: { clientCa, trustDomain: 'acme.example', clientRevocation: { ocsp } },
      },
    ],
    extra: { fetching: { allowAddresses: ['127.0.0.0/8'] } },
  });
  const running = sidecar;
  const neighbour = await RunningStream.begin({ upstream }, await connect(running, bob));
  const stream = await RunningStream.begin({ upstream }, await connect(running, alice));
  // Nobody has entered it: it is not known.
  await expect(connect(running, register.issue('mallory'))).rejects.toThrow();
  const from = performance.now();
  await until('the first answers have ended', () => (performance.now() - from > 2_500 ? true : undefined), 10_000);
  await stream.goesOn();
  register.takeBack(alice);
  // Asked again within a bit more than half of maxAge.
  await endsWithin(stream, 5_000, performance.now());
  await expect(connect(running, alice)).rejects.toThrow();
  await neighbour.goesOn();
  expect((await running.admin('/metrics')).text).toMatch(
    /bulkhead_ocsp_answers_total\{tenant="acme",answer="revoked"\} \d/,
  );
});

it('by a responder that is asked once for both workers, and both end its streams', async () => {
  upstream = await FakeUpstream.start();
  const ca = createCa({ commonName: 'clients CA', days: 1 });
  const clientOf = (name: string): IssuedCertificate =>
    issueClient(ca, { spiffeId: `spiffe://acme.example/${name}`, days: 1 });
  const [alice, bob] = [clientOf('alice'), clientOf('bob')];
  const clientCa = join(emptyDirectory(), 'clients-ca.pem');
  writeFileSync(clientCa, ca.certPem);
  const fake = await FakeResponder.start();
  let revoked = false;
  const askedAt: number[] = [];
  fake.answer = (response, request) => {
    const isAlice = request.includes(subjectFor(alice, ca).serial);
    if (isAlice) askedAt.push(performance.now());
    response.writeHead(200, { 'content-type': 'application/ocsp-response' });
    response.end(ocspResponse(ca, isAlice ? alice : bob, { status: isAlice && revoked ? 'revoked' : 'good' }));
  };
  try {
    sidecar = await Sidecar.start({
      tenants: [
        {
          id: 'acme',
          upstream: `http://127.0.0.1:${upstream.port}`,
          extra: {
            clientCa,
            trustDomain: 'acme.example',
            clientRevocation: { ocsp: { responder: { url: fake.url }, maxAge: '4s' } },
          },
        },
      ],
      extra: { workers: 2, fetching: { allowAddresses: ['127.0.0.0/8'] } },
    });
    const running = sidecar;
    // The kernel spreads connections over the workers: that all of these go to one has a chance of 2^-11.
    const streams: RunningStream[] = [];
    for (let i = 0; i < 12; i += 1)
      streams.push(await RunningStream.begin({ upstream }, await connect(running, alice)));
    const neighbour = await RunningStream.begin({ upstream }, await connect(running, bob));
    revoked = true;
    const ends = await Promise.all(streams.map(({ ended }) => ended));
    expect(ends.map(({ reason }) => reason)).toEqual(streams.map(() => 'AUTHORIZATION_EXPIRED'));
    const times = ends.map(({ at }) => at);
    // All by one answer.
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(1000);
    await neighbour.goesOn();
    // By neither of them before half of the time for which the other's answer holds.
    const gaps = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThan(1_500);
  } finally {
    fake.stop();
  }
});

it('by `bulkhead pki revoke`, and `bulkhead explain` says so', async () => {
  let directory = '';
  const pki = (command: string, ...args: readonly string[]): string =>
    execFileSync(process.execPath, [MAIN, 'pki', command, ...args], { encoding: 'utf8', cwd: directory });
  const crl = { files: ['../pki-of-clients/tenants/acme/crl.pem'] };
  const running = await startWith('../pki-of-clients/tenants/acme/ca-bundle.pem', crl, (made) => {
    directory = made;
    pki('init', 'pki-of-clients');
    pki('tenant', '-d', 'pki-of-clients', 'acme', '--trust-domain', 'acme.example');
    pki('issue', '-d', 'pki-of-clients', '--tenant', 'acme', '--client', 'alice', 'bob');
  });
  const client = (name: string): IssuedCertificate => {
    const read = (file: string): string =>
      readFileSync(join(directory, `pki-of-clients/tenants/acme/client/${name}`, file), 'utf8');
    return { certPem: read('chain.pem'), keyPem: read('key.pem') };
  };
  const neighbour = await RunningStream.begin({ upstream }, await connect(running, client('bob')));
  const stream = await RunningStream.begin({ upstream }, await connect(running, client('alice')));
  const chain = join(directory, 'pki-of-clients/tenants/acme/client/alice/chain.pem');
  await run(process.execPath, [MAIN, 'pki', 'revoke', '-d', 'pki-of-clients', chain], { cwd: directory });
  await endsWithin(stream, 1_000, performance.now());
  await neighbour.goesOn();
  const asked = ['--tenant', 'acme', '--method', 'ModelInfer', '--model', 'digits', '--cert', chain];
  const explained = await run(process.execPath, [
    MAIN,
    'explain',
    '-c',
    join(directory, 'bulkhead.yaml'),
    ...asked,
  ]).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error instanceof Error && 'stdout' in error ? String(error.stdout) : ''),
  );
  expect(explained).toMatch(/it is revoked by revocation list \d+ of CN=Bulkhead CA 1 of tenant acme/);
});

it('by a deny list and by `bulkhead keys revoke`, on every worker', async () => {
  upstream = await FakeUpstream.start();
  let key = '';
  const extra = { accept: ['certificate', 'api-key'], bindings: [{ role: 'all', certificates: ['*'], keys: ['*'] }] };
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: `http://127.0.0.1:${upstream.port}`, extra }],
    extra: { workers: 4, revocation: { denyList: 'deny.yaml' } },
    prepare: (directory) => {
      writeFileSync(join(directory, 'deny.yaml'), 'denied: []\n');
      const create = [MAIN, 'keys', 'create', join(directory, 'tenants/acme.yaml'), 'nightly'];
      key =
        execFileSync(process.execPath, create, { encoding: 'utf8', stdio: 'pipe' }).match(/bk_nightly_\S+/)?.[0] ?? '';
    },
  });
  const running = sidecar;
  const { pki } = running.tenant('acme');
  const spiffeId = `spiffe://${pki.trustDomain}/mallory`;
  const mallory = issueClient(pki.ca, { spiffeId, days: 1 });
  const begin = async (certificate: IssuedCertificate, headers = {}): Promise<RunningStream> =>
    RunningStream.begin({ upstream }, await connect(running, certificate), headers);
  const streams: { denied: RunningStream; keyed: RunningStream; free: RunningStream }[] = [];
  // So many connections that every worker has some of each.
  for (let i = 0; i < 12; i += 1) {
    const keyed = await begin(pki.client, { 'x-api-key': key });
    streams.push({ denied: await begin(mallory), keyed, free: await begin(pki.client) });
  }

  const from = performance.now();
  replace(join(running.directory, 'deny.yaml'), Buffer.from(`denied:\n  - { spiffe: ${spiffeId} }\n`));
  for (const { denied } of streams) await endsWithin(denied, 1_000, from);
  for (const { keyed } of streams) await keyed.goesOn();

  await run(process.execPath, [MAIN, 'keys', 'revoke', join(running.directory, 'tenants/acme.yaml'), 'nightly']);
  const revokedAt = performance.now();
  for (const { keyed } of streams) await endsWithin(keyed, 1_000, revokedAt);
  for (const { free } of streams) await free.goesOn();
  await expect(connect(running, mallory)).rejects.toThrow();
});
