import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test, vi } from 'vitest';
import { type CliRun, runCli } from '../../fakes/cli.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const PASSPHRASE = 'a very secret passphrase';

interface Ground {
  readonly folder: string;
  readonly pki: string;
  readonly passphraseFile: string;
  /** Runs `bulkhead pki` in the directory. */
  run(command: string, ...args: readonly string[]): Promise<CliRun>;
}

/** A directory with tenant acme, unless told otherwise. */
async function ground(options: { readonly sealed?: true; readonly init?: readonly string[] } = {}): Promise<Ground> {
  const folder = temporaryDirectory();
  const pki = join(folder, 'pki');
  const passphraseFile = join(folder, 'passphrase');
  writeFileSync(passphraseFile, `${PASSPHRASE}\n`);
  const secret = options.sealed === undefined ? [] : ['--passphrase-file', passphraseFile];
  const run = (command: string, ...args: readonly string[]) =>
    runCli(['pki', command, ...args, ...(command === 'init' ? [] : ['-d', pki])]);
  expect((await run('init', pki, ...secret, ...(options.init ?? []))).code).toBe(0);
  expect((await run('tenant', 'acme', '--trust-domain', 'acme.example', ...secret)).code).toBe(0);
  return { folder, pki, passphraseFile, run };
}

/** Everything that is in files below a folder, links followed once. */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('pki issue', () => {
  it('says what it wrote, its fingerprint, until when, and the lines for the tenant’s file', async () => {
    const { pki, run } = await ground();
    const { code, out, err } = await run(
      'issue',
      '--tenant',
      'acme',
      '--server',
      'acme.models.example',
      'localhost',
      '--ip',
      '127.0.0.1',
      '--lifetime',
      '15m',
    );
    const folder = join(pki, 'tenants/acme/server/acme.models.example');
    const certificate = new X509Certificate(readFileSync(join(folder, 'chain.pem')));
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe(
      [
        'issued server certificate acme.models.example of tenant acme',
        `  chain        ${folder}/chain.pem`,
        `  key          ${folder}/key.pem (mode 0600)`,
        '  names        acme.models.example, localhost, 127.0.0.1',
        `  serial       ${certificate.serialNumber.toLowerCase().replace(/^0+/, '')}`,
        `  fingerprint  sha256:${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`,
        `  until        ${certificate.validToDate.toISOString().replace('.000Z', 'Z')} (15m)`,
        'For the tenant’s file:',
        "  serverNames: ['acme.models.example', 'localhost']",
        `  certificate: { chain: ${folder}/chain.pem, key: ${folder}/key.pem }`,
        `  clientCa: ${pki}/tenants/acme/ca-bundle.pem`,
        '',
      ].join('\n'),
    );
  });

  it('issues for several clients, for machines', async () => {
    const { run } = await ground();
    const { out } = await run('issue', '-t', 'acme', '--client', 'trainer', 'spiffe://acme.example/ns/prod', '--json');
    expect(JSON.parse(out)).toMatchObject({
      issued: [
        {
          tenant: 'acme',
          use: 'client',
          name: 'trainer',
          spiffeId: 'spiffe://acme.example/trainer',
          keyEncrypted: false,
        },
        { name: 'ns_prod', spiffeId: 'spiffe://acme.example/ns/prod' },
      ],
    });
  });

  it('signs a request whose key stays where it is', async () => {
    const { folder, run } = await ground();
    const csr = join(folder, 'edge.csr');
    const args = ['req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=x', '-out', csr];
    execFileSync('openssl', args, { stdio: 'pipe' });
    const { code, out } = await run('issue', '-t', 'acme', '--client', 'edge', '--csr', csr);
    expect(code).toBe(0);
    expect(out).toContain('  key          with whoever made the request\n');
    const rotated = await run('rotate', '-t', 'acme');
    expect(rotated).toMatchObject({
      code: 0,
      err: 'not rotated: client edge: its key is elsewhere: issue it from a new request (--csr)\n',
    });
    expect((await run('rotate', '-t', 'acme', 'edge')).code).toBe(1);
  });

  it.each<[readonly string[], RegExp]>([
    [[], /either --server or --client/],
    [['--server', 'a.test', '--client', 'b'], /either --server or --client/],
    [['--client', 'a', '--ip', '127.0.0.1'], /a client has no --ip/],
    [['--client', 'a', 'b', '--name', 'c'], /are for one certificate/],
    [['--client', 'a', '--name', '../c'], /is no name of a directory/],
    [['--client', 'a', '--csr', '/nowhere'], /\/nowhere is not there/],
    [['--client', 'a', '--csr', '/dev/null', '--key-algorithm', 'P-256'], /with --csr no key is made/],
    [['--client', 'spiffe://globex.example/a'], /is not in trust domain acme.example/],
    [['--server', 'not a name'], /is no DNS name/],
    [['--client', 'a', '--lifetime', '4m'], /cannot live for 4m\n {2}fix: from 5m to 397d/],
  ])('refuses %j', async (args, why) => {
    const { pki, run } = await ground();
    const { code, out, err } = await run('issue', '-t', 'acme', ...args);
    expect([code === 1 || code === 2, out]).toEqual([true, '']);
    expect(err).toMatch(why);
    expect(readdirSync(join(pki, 'tenants/acme')).sort()).toEqual([
      'authorities',
      'ca-bundle.pem',
      'crl.pem',
      'ledger.json',
    ]);
  });

  it('refuses a tenant that is not there, and one that is no id', async () => {
    const { run } = await ground();
    expect(await run('issue', '-t', 'globex', '--client', 'a')).toMatchObject({
      code: 1,
      err: expect.stringContaining('fix: make it: bulkhead pki tenant globex'),
    });
    expect((await run('issue', '-t', '../acme', '--client', 'a')).err).toMatch(/Not a tenant’s id/);
  });
});

describe('a passphrase', () => {
  it('is asked for, must be the right one, and neither it nor a key is said or written anywhere', async () => {
    const { folder, pki, passphraseFile, run } = await ground({ sealed: true });
    const issue = (...secret: readonly string[]) => run('issue', '-t', 'acme', '--client', 'trainer', ...secret);
    const none = await issue();
    expect(none).toMatchObject({
      code: 1,
      err: expect.stringMatching(/ca-key.pem is encrypted, and there is no passphrase\n {2}fix: .*--passphrase-file/),
    });
    const wrong = join(folder, 'wrong');
    writeFileSync(wrong, 'not the right passphrase');
    const refused = await issue('--passphrase-file', wrong);
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^error: the passphrase does not open .*ca-key.pem\n/),
    });
    const runs = [
      none,
      refused,
      await issue('--passphrase-file', join(folder, 'nowhere')),
      await issue('--passphrase-file', passphraseFile),
    ];
    expect(runs.map(({ code }) => code)).toEqual([1, 1, 1, 0]);
    const said = runs.map(({ out, err }) => out + err).join('');
    const written = filesBelow(pki)
      .map((file) => readFileSync(file, 'utf8'))
      .join('');
    for (const secret of [PASSPHRASE, 'not the right']) expect(said + written).not.toContain(secret);
    expect(said).not.toContain('PRIVATE KEY');
    for (const file of filesBelow(pki).filter((name) => name.endsWith('ca-key.pem'))) {
      expect(readFileSync(file, 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
    }
    for (const file of filesBelow(pki)) {
      if (readFileSync(file, 'utf8').includes('PRIVATE KEY')) expect(statSync(file).mode & 0o777).toBe(0o600);
    }
  });

  it('may come from the environment', async () => {
    const { run } = await ground({ sealed: true });
    vi.stubEnv('BULKHEAD_PKI_PASSPHRASE', PASSPHRASE);
    expect((await run('issue', '-t', 'acme', '--client', 'trainer')).code).toBe(0);
    vi.stubEnv('BULKHEAD_PKI_PASSPHRASE', 'something else altogether');
    expect((await run('issue', '-t', 'acme', '--client', 'trainer')).code).toBe(1);
    vi.unstubAllEnvs();
  });

  it('of the directory is needed for every new tenant', async () => {
    const { run } = await ground({ sealed: true });
    expect((await run('tenant', 'globex')).err).toMatch(
      /keys of this directory are encrypted, and there is no passphrase/,
    );
  });

  it('for a leaf’s own key is another one, and its rotation asks for it', async () => {
    const { pki, passphraseFile, run } = await ground();
    const secret = ['--key-passphrase-file', passphraseFile];
    expect((await run('issue', '-t', 'acme', '--client', 'trainer', ...secret)).out).toContain(
      '(mode 0600, encrypted)',
    );
    expect(readFileSync(join(pki, 'tenants/acme/client/trainer/key.pem'), 'utf8')).toContain('ENCRYPTED');
    expect((await run('rotate', '-t', 'acme')).err).toContain('its key is encrypted: give --key-passphrase-file');
    expect((await run('rotate', '-t', 'acme', ...secret)).out).toContain('issued client certificate trainer');
  });
});

test('a root’s key may be away except when a CA is made', async () => {
  const { folder, pki, run } = await ground({ init: ['--root'] });
  const key = join(pki, 'root/ca-key.pem');
  renameSync(key, join(folder, 'offline.pem'));
  expect((await run('issue', '-t', 'acme', '--client', 'trainer')).code).toBe(0);
  expect((await run('list')).out).toMatch(/^TENANT .*\n- +root +root +valid/);
  expect((await run('tenant', 'globex')).err).toMatch(
    /the root's key is not at .*\n {2}fix: put it there for as long as this command runs/,
  );
  renameSync(join(folder, 'offline.pem'), key);
  expect((await run('tenant', 'globex')).code).toBe(0);
});

test('a CA’s rotation, a revocation and what is listed of them', async () => {
  const { pki, run } = await ground();
  await run('issue', '-t', 'acme', '--client', 'trainer', 'batch');
  expect((await run('rotate', '-t', 'acme', '--ca')).out).toMatch(/^made CA 2 of tenant acme; it does not sign yet\n/);
  expect((await run('rotate', '-t', 'acme', '--ca', '--activate')).out).toMatch(
    /^CA 2 of tenant acme signs; the one before is trusted/,
  );
  expect((await run('rotate', '-t', 'acme', 'trainer')).out).toContain('issued client certificate trainer');
  const chain = join(pki, 'tenants/acme/client/batch/chain.pem');
  const revoked = await run('revoke', chain, '--reason', 'keyCompromise', '--json');
  expect(JSON.parse(revoked.out)).toMatchObject({
    tenant: 'acme',
    name: 'batch',
    already: false,
    reason: 'keyCompromise',
    crlNumber: 6,
  });
  expect((await run('revoke', chain)).out).toMatch(/^revoked already, at .*: client certificate batch of tenant acme/);
  const { out, code } = await run('list');
  expect(code).toBe(0);
  expect(out.replaceAll(/ +/g, ' ').replaceAll(/\S+Z [0-9a-f]+$/gm, '…')).toBe(
    [
      'TENANT KIND NAME STATE UNTIL SERIAL',
      'acme ca 1 retiring …',
      'acme ca 2 signing …',
      'acme client batch revoked (keyCompromise) …',
      'acme client trainer valid …',
      '',
    ].join('\n'),
  );
  expect((await run('list', '--all')).out).toMatch(/client +trainer +superseded/);
  const json = JSON.parse((await run('list', '--json')).out);
  expect(json.items).toHaveLength(5);
  expect(json.items[3]).toMatchObject({ name: 'batch', state: 'revoked', revoked: { reason: 'keyCompromise' } });
  expect((await run('crl', '-t', 'acme')).out).toMatch(/crl.pem \(number 8, until /);
});

test('list --expiring is for scripts: exit code 3 when something ends so soon', async () => {
  const { run } = await ground();
  expect(await run('list')).toMatchObject({ code: 0 });
  await run('issue', '-t', 'acme', '--client', 'trainer', '--lifetime', '1h');
  expect(await run('list', '--expiring', '30m')).toMatchObject({ code: 0, out: 'nothing ends so soon\n' });
  expect(await run('list', '--expiring', '61m')).toMatchObject({ code: 3, out: expect.stringContaining('trainer') });
  expect(await run('list', '--expiring', '61m', '--tenant', 'acme', '--json')).toMatchObject({ code: 3 });
});

test('a damaged directory is exit code 2, and what it says names the file', async () => {
  const { pki, run } = await ground();
  const ledger = join(pki, 'tenants/acme/ledger.json');
  writeFileSync(ledger, '{');
  for (const args of [
    ['list'],
    ['issue', '-t', 'acme', '--client', 'a'],
    ['crl', '-t', 'acme'],
    ['revoke', 'ff'],
  ] as const) {
    const [command, ...rest] = args;
    expect(await run(command, ...rest)).toMatchObject({
      code: 2,
      out: '',
      err: `error: ${ledger} is not JSON\n  fix: put it back from a backup\n`,
    });
  }
  rmSync(join(pki, 'pki.json'));
  expect(await run('list')).toMatchObject({ code: 2, err: expect.stringMatching(/is no PKI directory/) });
});

test('options that do not go together are refused', async () => {
  const { run } = await ground();
  for (const args of [
    ['--ca', 'x'],
    ['--ca', '--expiring', '1h'],
    ['--activate'],
    ['--no-overlap'],
    ['--ca', '--activate', '--no-overlap'],
    ['ghost'],
  ]) {
    expect(await run('rotate', '-t', 'acme', ...args)).toMatchObject({ code: 1, out: '' });
  }
  expect(await run('tenant', 'x', '--no-name-constraints', '--permit-dns', 'a.test')).toMatchObject({ code: 1 });
  expect(await run('tenant', 'x', '--trust-domain', 'Not/One')).toMatchObject({ code: 1 });
  expect(await run('tenant', 'x', '--lifetime', '24')).toMatchObject({
    code: 1,
    err: expect.stringContaining('Not a duration'),
  });
});
