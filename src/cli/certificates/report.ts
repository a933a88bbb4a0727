/**
 * What `bulkhead pki` says about certificates, to people and to machines.
 */
import type { PkiDirectory } from '../../pki/directory.ts';
import type { IssuedLeaf } from '../../pki/issuing.ts';
import type { Ledger } from '../../pki/ledger.ts';
import { durationText } from '../../pki/lifetimes.ts';
import type { CliIo } from '../io.ts';

/** `2026-11-25T12:00:00Z`. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** One issued certificate, with the lines that a configuration needs for it. */
export function issuedText(directory: PkiDirectory, ledger: Ledger, leaf: IssuedLeaf): string {
  const { entry, chainFile, keyFile } = leaf;
  const names = [entry.spiffeId ?? [], entry.dnsNames, entry.ipAddresses].flat();
  const key =
    keyFile === undefined
      ? 'with whoever made the request'
      : `${keyFile} (mode 0600${entry.key === 'sealed' ? ', encrypted' : ''})`;
  return [
    `issued ${entry.use} certificate ${entry.name} of tenant ${ledger.tenant}`,
    `  chain        ${chainFile}`,
    `  key          ${key}`,
    `  names        ${names.join(', ')}`,
    `  serial       ${entry.serial}`,
    `  fingerprint  sha256:${entry.sha256}`,
    `  until        ${timeText(entry.notAfterMs)} (${durationText(entry.lifetimeMs)})`,
    ...configurationLines(directory, ledger, leaf),
    '',
  ].join('\n');
}

function configurationLines(directory: PkiDirectory, ledger: Ledger, leaf: IssuedLeaf): readonly string[] {
  const { entry, chainFile, keyFile } = leaf;
  if (entry.use === 'client') {
    return [
      'For the tenant’s file:',
      `  clientCa: ${directory.bundleFile(ledger.tenant)}`,
      `  trustDomain: ${ledger.trustDomain}`,
      `  bindings: [{ role: ROLE, certificates: ['${entry.spiffeId ?? ''}'] }]`,
    ];
  }
  return [
    'For the tenant’s file:',
    `  serverNames: [${entry.dnsNames.map((name) => `'${name}'`).join(', ')}]`,
    `  certificate: { chain: ${chainFile}, key: ${keyFile ?? 'KEY-FILE'} }`,
    `  clientCa: ${directory.bundleFile(ledger.tenant)}`,
  ];
}

/** The same for machines. */
export function issuedJson(tenant: string, { entry, chainFile, keyFile }: IssuedLeaf): object {
  const { use, name, serial, sha256, spiffeId, dnsNames, ipAddresses, notAfterMs, key } = entry;
  return {
    ...{ tenant, use, name, serial, sha256, spiffeId, dnsNames, ipAddresses, chainFile, keyFile },
    keyEncrypted: key === 'sealed',
    notBefore: timeText(entry.notBeforeMs),
    notAfter: timeText(notAfterMs),
  };
}

export function printJson(io: CliIo, value: object): void {
  io.out(`${JSON.stringify(value, null, 2)}\n`);
}
