/**
 * `bulkhead pki rotate`: successors of certificates, and of a tenant's CA.
 */
import type { TenantId } from '../../kernel/ids.ts';
import { PkiDirectory } from '../../pki/directory.ts';
import type { IssuedLeaf } from '../../pki/issuing.ts';
import type { Ledger } from '../../pki/ledger.ts';
import { refused } from '../../pki/problem.ts';
import { rotateAuthority, rotateLeafs } from '../../pki/rotating.ts';
import type { CliIo } from '../io.ts';
import { type CommonOptions, durationOption } from '../pki-options.ts';
import { passphraseOf, passphrasesOf } from './passphrases.ts';
import { issuedJson, issuedText, printJson, timeText } from './report.ts';

export interface RotateOptions extends CommonOptions {
  readonly tenant: TenantId;
  readonly expiring?: number;
  readonly lifetime?: number;
  readonly keyPassphraseFile?: string;
  readonly ca?: true;
  readonly activate?: true;
  readonly overlap: boolean;
}

/** Rotates leafs or a CA. */
export async function rotate(names: readonly string[], options: RotateOptions, io: CliIo): Promise<void> {
  if (options.ca === true) {
    if (names.length > 0 || options.expiring !== undefined) {
      throw refused('--ca rotates the CA, not certificates', 'leave names and --expiring away');
    }
    if (options.activate === true && !options.overlap) {
      throw refused('--activate keeps the old CA and --no-overlap does not', 'give one of the two');
    }
    await rotateCa(options, io);
    return;
  }
  if (options.activate === true || !options.overlap) {
    throw refused('--activate and --no-overlap are about a CA', 'add --ca');
  }
  const directory = PkiDirectory.open(options.directory);
  const passphrases = passphrasesOf(options);
  const rotation = { names, expiringMs: options.expiring, lifetimeMs: options.lifetime };
  const { ledger, issued, skipped } = await directory.changing(() => {
    const before = directory.readLedger(options.tenant);
    return { ledger: before, ...rotateLeafs(directory, before, rotation, passphrases, Date.now()) };
  });
  if (options.json === true) {
    const left = skipped.map(({ entry, why }) => ({ use: entry.use, name: entry.name, why }));
    printJson(io, { issued: issued.map((leaf) => issuedJson(ledger.tenant, leaf)), skipped: left });
  } else reportRotation(directory, ledger, issued, io);
  for (const { entry, why } of skipped) io.err(`not rotated: ${entry.use} ${entry.name}: ${why}\n`);
  // Whoever named it wanted it.
  if (names.length > 0 && skipped.length > 0) io.exit(1);
}

function reportRotation(directory: PkiDirectory, ledger: Ledger, issued: readonly IssuedLeaf[], io: CliIo): void {
  if (issued.length === 0) io.out(`nothing of tenant ${ledger.tenant} is to be rotated\n`);
  for (const leaf of issued) io.out(issuedText(directory, ledger, leaf));
}

async function rotateCa(options: RotateOptions, io: CliIo): Promise<void> {
  const directory = PkiDirectory.open(options.directory);
  const passphrase = passphraseOf(options);
  const { tenant } = options;
  const step = options.activate === true ? 'activate' : options.overlap ? 'prepare' : 'replace';
  const lifetimeMs = options.lifetime ?? durationOption('365d');
  const { entry, ledger } = await directory.changing(() =>
    rotateAuthority(directory, directory.readLedger(tenant), { step, lifetimeMs }, passphrase, Date.now()),
  );
  const bundle = directory.bundleFile(tenant);
  if (options.json === true) {
    const authorities = ledger.authorities.map((each) => ({ ...each, notAfter: timeText(each.notAfterMs) }));
    printJson(io, { tenant, ca: entry.id, state: entry.state, sha256: entry.sha256, bundle, authorities });
    return;
  }
  const again = `bulkhead pki rotate --tenant ${tenant}`;
  const said = {
    prepare: [
      `made CA ${entry.id} of tenant ${tenant}; it does not sign yet`,
      `Next: give the bundle to sidecars and clients, then: ${again} --ca --activate`,
    ],
    activate: [
      `CA ${entry.id} of tenant ${tenant} signs; the one before is trusted until what it signed has ended`,
      `Next: ${again}`,
    ],
    replace: [
      `CA ${entry.id} of tenant ${tenant} signs; nothing that others signed is trusted any more`,
      `Next: give the bundle to sidecars and clients, and: ${again}`,
    ],
  }[step];
  io.out(
    `${said[0]}\n  bundle       ${bundle}\n  fingerprint  sha256:${entry.sha256}\n  until        ${timeText(entry.notAfterMs)}\n${said[1]}\n`,
  );
}
