/**
 * `bulkhead pki init` and `bulkhead pki tenant`: the directory, and the CA of a tenant.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import type { KeyAlgorithm } from '../identity/issue.ts';
import type { TenantId } from '../kernel/ids.ts';
import { sha256Of } from '../pki/authorities.ts';
import { PkiDirectory } from '../pki/directory.ts';
import { createTenant, initPki } from '../pki/tenants.ts';
import type { CliIo } from './io.ts';
import {
  type CommonOptions,
  durationOption,
  keyAlgorithmOption,
  passphraseOf,
  saying,
  tenantOption,
  withCommonOptions,
  withPassphraseOption,
} from './pki-options.ts';
import { timeText } from './pki-report.ts';

interface InitOptions {
  readonly root?: true;
  readonly rootLifetime: number;
  readonly keyAlgorithm: KeyAlgorithm;
  readonly passphraseFile?: string;
  readonly json?: true;
}

interface TenantOptions extends CommonOptions {
  readonly trustDomain?: string;
  readonly permitDns?: readonly string[];
  readonly nameConstraints: boolean;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly lifetime: number;
  readonly crlLifetime: number;
}

/** Adds `pki init` and `pki tenant`. */
export function registerPkiCa(pki: Command, io: CliIo): void {
  withPassphraseOption(pki.command('init'))
    .description('make a PKI directory')
    .argument('<dir>', 'a directory that is not there yet, or is empty')
    .option('--root', 'make a root CA above the tenants’ CAs; only making a CA needs its key')
    .option('--root-lifetime <duration>', 'how long the root CA lives', durationOption, durationOption('3650d'))
    .addOption(keyAlgorithmOption('of every key that is made in it').default('P-256'))
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
With a passphrase the keys of all CAs are encrypted (PKCS #8, PBES2, PBKDF2 with 600,000 rounds, AES-256), and whoever
issues needs it. A sidecar never needs a CA's key: keep this directory away from it, and give it the files it names.

With --root, root/ca-key.pem may be kept offline: it is needed only by \`pki tenant\` and \`pki rotate --ca\`. Tenants'
clients are still held against their own tenant's CA, never against the root.

Examples:
  $ bulkhead pki init pki
  $ openssl rand -base64 32 > passphrase && bulkhead pki init pki --root --passphrase-file passphrase`,
    )
    .action((path: string, options: InitOptions) => saying(io, () => init(path, options, io)));
  withCommonOptions(pki.command('tenant'))
    .description('make a tenant and its certificate authority')
    .argument('<name>', 'the tenant’s id, as in its configuration', tenantOption)
    .option('--trust-domain <domain>', 'SPIFFE trust domain of its clients, its alone (default: NAME.internal)')
    .option('--permit-dns <names...>', 'its servers may have these names and what is below them, no others')
    .option('--no-name-constraints', 'do not write these limits into the CA, for verifiers that do not know them')
    .addOption(keyAlgorithmOption('of this tenant’s keys (default: the directory’s)'))
    .option('--lifetime <duration>', 'how long the CA lives', durationOption, durationOption('365d'))
    .option('--crl-lifetime <duration>', 'a revocation list is good for so long', durationOption, durationOption('7d'))
    .addHelpText(
      'after',
      `
The CA signs leafs only (path length 0), and by its name constraints no verifier takes a SPIFFE id of another trust
domain from it. It signs nobody else's clients: no two tenants share one.

Examples:
  $ bulkhead pki tenant acme
  $ bulkhead pki tenant globex --trust-domain globex.example --permit-dns globex.models.example`,
    )
    .action((tenant: TenantId, options: TenantOptions) => saying(io, () => makeTenant(tenant, options, io)));
}

function init(path: string, options: InitOptions, io: CliIo): void {
  const passphrase = passphraseOf(options);
  const { keyAlgorithm } = options;
  const settings = { keyAlgorithm, sealed: passphrase !== undefined, root: options.root === true };
  const { directory, root } = initPki(path, settings, options.rootLifetime, passphrase, Date.now());
  const rootFile = root === undefined ? undefined : join(directory.path, 'root', 'ca.pem');
  if (options.json === true) {
    const summary =
      root === undefined ? {} : { root: { file: rootFile, sha256: sha256Of(root), notAfter: root.validToDate } };
    io.out(`${JSON.stringify({ directory: directory.path, ...settings, ...summary }, null, 2)}\n`);
    return;
  }
  io.out(`made ${directory.path}, keys ${keyAlgorithm}, ${settings.sealed ? 'encrypted' : 'not encrypted'}\n`);
  if (root !== undefined) {
    io.out(`  root         ${rootFile}\n  fingerprint  sha256:${sha256Of(root)}\n`);
    io.out(`  until        ${timeText(root.validToDate.getTime())}\n`);
    io.out(`  root/ca-key.pem may be kept elsewhere until a tenant's CA is made\n`);
  }
  io.out(`Next: bulkhead pki tenant NAME --directory ${path}\n`);
}

async function makeTenant(tenant: TenantId, options: TenantOptions, io: CliIo): Promise<void> {
  const directory = PkiDirectory.open(options.directory);
  const request = {
    tenant,
    trustDomain: options.trustDomain ?? `${tenant}.internal`,
    permittedDnsNames: options.permitDns ?? [],
    constrained: options.nameConstraints,
    keyAlgorithm: options.keyAlgorithm ?? directory.settings.keyAlgorithm,
    lifetimeMs: options.lifetime,
    crlLifetimeMs: options.crlLifetime,
  };
  const passphrase = passphraseOf(options);
  const ledger = await directory.changing(() => createTenant(directory, request, passphrase, Date.now()));
  const [ca] = ledger.authorities;
  if (ca === undefined) throw new TypeError('a new tenant has a CA');
  const files = { bundle: directory.bundleFile(tenant), crl: directory.crlFile(tenant) };
  if (options.json === true) {
    const { trustDomain } = ledger;
    const until = new Date(ca.notAfterMs);
    io.out(`${JSON.stringify({ tenant, trustDomain, sha256: ca.sha256, notAfter: until, ...files }, null, 2)}\n`);
    return;
  }
  io.out(
    [
      `made tenant ${tenant} and its CA`,
      `  bundle       ${files.bundle}`,
      `  revocations  ${files.crl}`,
      `  fingerprint  sha256:${ca.sha256}`,
      `  until        ${timeText(ca.notAfterMs)}`,
      'For the tenant’s file:',
      `  clientCa: ${files.bundle}`,
      `  trustDomain: ${ledger.trustDomain}`,
      `Next: bulkhead pki issue --tenant ${tenant} --server NAME --directory ${options.directory}`,
      '',
    ].join('\n'),
  );
}
