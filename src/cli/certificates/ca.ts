/**
 * `bulkhead pki init` and `bulkhead pki tenant`: the directory, and the CA of a tenant.
 */
import { join } from 'node:path';
import type { KeyAlgorithm } from '../../identity/issue.ts';
import type { TenantId } from '../../kernel/ids.ts';
import { sha256Of } from '../../pki/authorities.ts';
import { PkiDirectory } from '../../pki/directory.ts';
import { createTenant, initPki } from '../../pki/tenants.ts';
import type { CliIo } from '../io.ts';
import type { CommonOptions } from '../pki-options.ts';
import { passphraseOf } from './passphrases.ts';
import { timeText } from './report.ts';

export interface InitOptions {
  readonly root?: true;
  readonly rootLifetime: number;
  readonly keyAlgorithm: KeyAlgorithm;
  readonly passphraseFile?: string;
  readonly json?: true;
}

export interface TenantOptions extends CommonOptions {
  readonly trustDomain?: string;
  readonly permitDns?: readonly string[];
  readonly nameConstraints: boolean;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly lifetime: number;
  readonly crlLifetime: number;
}

/** Makes a PKI directory. */
export function init(path: string, options: InitOptions, io: CliIo): void {
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

/** Makes a tenant and its CA. */
export async function makeTenant(tenant: TenantId, options: TenantOptions, io: CliIo): Promise<void> {
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
