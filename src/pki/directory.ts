/**
 * The directory of a PKI: what is where in it, and one command at a time.
 *
 *     README                                  what this is
 *     pki.json                                key algorithm, whether keys are sealed, whether there is a root
 *     root/ca.pem, root/ca-key.pem            only with a root; the key may be kept elsewhere
 *     tenants/NAME/ledger.json                what was issued
 *     tenants/NAME/ca-bundle.pem              the tenant's CAs that are to be trusted
 *     tenants/NAME/crl.pem                    their revocation lists
 *     tenants/NAME/authorities/1/ca.pem, ca-key.pem
 *     tenants/NAME/server/NAME/chain.pem, key.pem     links to the newest version of both
 *     tenants/NAME/client/NAME/chain.pem, key.pem
 */
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WriterLock, WriterLockedError } from '../audit/writer-lock.ts';
import type { KeyAlgorithm } from '../identity/issue.ts';
import { parseTenantId, type TenantId } from '../kernel/ids.ts';
import {
  MAX_LEDGER_BYTES,
  MAX_PEM_BYTES,
  makeDirectory,
  PUBLIC_MODE,
  readTextFile,
  SECRET_MODE,
  writeFileDurably,
} from './files.ts';
import { Fields, formatLedger, type Ledger, parseJson, parseLedger } from './ledger.ts';
import { damaged, refused } from './problem.ts';

export interface PkiSettings {
  readonly keyAlgorithm: KeyAlgorithm;
  /** CA keys are sealed by a passphrase: no CA is made without one. */
  readonly sealed: boolean;
  readonly root: boolean;
}

const README = `Certificates of the tenants of Bulkhead, one CA for each tenant (bulkhead pki --help).
Whoever reads the files named ca-key.pem can pass for any client of that tenant. Keep a backup; change nothing by hand.
`;

const FORMAT = 1;
/** A command takes milliseconds, or seconds when it makes many certificates. */
const LOCK_WAIT_MS = 30_000;
const LOCK_RETRY_MS = 25;

export class PkiDirectory {
  readonly path: string;
  readonly settings: PkiSettings;
  #lock: WriterLock | undefined;

  private constructor(path: string, settings: PkiSettings) {
    this.path = path;
    this.settings = settings;
  }

  /** Makes a new one. Throws a PkiProblem where something stands already. */
  static create(path: string, settings: PkiSettings): PkiDirectory {
    const absolute = resolve(path);
    if (existsSync(absolute) && (!lstatSync(absolute).isDirectory() || readdirSync(absolute).length > 0)) {
      throw refused(
        `${absolute} is there already, and is not an empty directory`,
        'name a directory that is not there',
      );
    }
    makeDirectory(absolute);
    requirePrivate(absolute);
    writeFileDurably(join(absolute, 'README'), README, PUBLIC_MODE);
    makeDirectory(join(absolute, 'tenants'));
    return new PkiDirectory(absolute, settings);
  }

  /** Opens one that is there. Throws a PkiProblem where there is none, or where others may change it. */
  static open(path: string): PkiDirectory {
    const absolute = resolve(path);
    const file = join(absolute, 'pki.json');
    if (!existsSync(file)) {
      throw damaged(absolute, 'is no PKI directory (it has no pki.json)', `make one: bulkhead pki init ${path}`);
    }
    requirePrivate(absolute);
    const fields = new Fields(parseJson(readTextFile(file, MAX_PEM_BYTES), file), file, '');
    if (fields.number('format') !== FORMAT) fields.fail('format', `is not ${FORMAT}`);
    const keyAlgorithm = fields.text('keyAlgorithm', (text): KeyAlgorithm | undefined =>
      text === 'P-256' || text === 'Ed25519' ? text : undefined,
    );
    return new PkiDirectory(absolute, { keyAlgorithm, sealed: fields.flag('sealed'), root: fields.flag('root') });
  }

  /** The last step of making it: from now on it is one. */
  writeSettings(): void {
    const text = JSON.stringify({ format: FORMAT, ...this.settings }, null, 1);
    writeFileDurably(join(this.path, 'pki.json'), `${text}\n`, PUBLIC_MODE);
  }

  /** Runs a change while no other command runs one. Throws a PkiProblem when another holds the lock for too long. */
  async changing<T>(change: () => T): Promise<T> {
    const lock = await this.#locked();
    this.#lock = lock;
    try {
      return change();
    } finally {
      this.#lock = undefined;
      lock.release();
    }
  }

  get tenants(): readonly TenantId[] {
    const names = readdirSync(join(this.path, 'tenants')).map((name) => {
      const tenant = parseTenantId(name);
      if (tenant !== undefined) return tenant;
      throw damaged(join(this.path, 'tenants', name), 'is not a tenant’s', 'remove it');
    });
    // A tenant without a ledger is one whose making was cut off.
    return names.filter((tenant) => existsSync(this.ledgerFile(tenant))).sort();
  }

  readLedger(tenant: TenantId): Ledger {
    const file = this.ledgerFile(tenant);
    if (!existsSync(file)) {
      throw refused(`there is no tenant ${tenant} in ${this.path}`, `make it: bulkhead pki tenant ${tenant}`);
    }
    const ledger = parseLedger(readTextFile(file, MAX_LEDGER_BYTES), file);
    if (ledger.tenant !== tenant) throw damaged(file, `is the ledger of ${ledger.tenant}`, 'put the right one back');
    return ledger;
  }

  writeLedger(ledger: Ledger): void {
    // Each step shows that the holder lives, also where its process cannot be looked at.
    this.#lock?.touch(new Date());
    writeFileDurably(this.ledgerFile(ledger.tenant), formatLedger(ledger), SECRET_MODE);
  }

  ledgerFile(tenant: TenantId): string {
    return join(this.tenantFolder(tenant), 'ledger.json');
  }

  tenantFolder(tenant: TenantId): string {
    return join(this.path, 'tenants', tenant);
  }

  bundleFile(tenant: TenantId): string {
    return join(this.tenantFolder(tenant), 'ca-bundle.pem');
  }

  crlFile(tenant: TenantId): string {
    return join(this.tenantFolder(tenant), 'crl.pem');
  }

  async #locked(): Promise<WriterLock> {
    const until = performance.now() + LOCK_WAIT_MS;
    for (;;) {
      try {
        return new WriterLock(this.path, '.pki');
      } catch (error) {
        if (!(error instanceof WriterLockedError)) throw error;
        if (performance.now() > until) {
          throw refused(`another command is changing ${this.path}`, 'wait until it is done');
        }
      }
      await delay(LOCK_RETRY_MS);
    }
  }
}

/** Whoever may write the directory could put a CA of their own into a bundle. */
function requirePrivate(path: string): void {
  const { mode } = lstatSync(path);
  if ((mode & 0o077) === 0) return;
  throw damaged(
    path,
    `can be entered by others (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
    `chmod 700 ${path}`,
  );
}
