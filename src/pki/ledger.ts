/**
 * A tenant's ledger: its CAs and everything they issued, so that any of it can be revoked. A certificate is entered before
 * its file is written; one that is in no ledger was not issued here.
 */
import type { KeyAlgorithm, LeafUse } from '../identity/issue.ts';
import { REVOCATION_REASON, type RevocationReason } from '../identity/revocation-reason.ts';
import { parseTenantId, type TenantId } from '../kernel/ids.ts';
import { damaged } from './problem.ts';

/**
 * `next`: trusted and not yet signing, while its certificate is being distributed. `retiring`: trusted, no longer signing, until
 * what it signed has ended. `retired`: neither; its key is gone.
 */
export type AuthorityState = 'next' | 'signing' | 'retiring' | 'retired';

export interface AuthorityEntry {
  /** 1, 2, …: its directory's name. */
  readonly id: number;
  readonly state: AuthorityState;
  /** Lower-case hex without leading zeros. */
  readonly serial: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly sha256: string;
  readonly notAfterMs: number;
}

export interface CertificateEntry {
  readonly serial: string;
  readonly sha256: string;
  readonly use: LeafUse;
  /** Its directory's name; the newest entry of a name is the one in use. */
  readonly name: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly spiffeId: string | undefined;
  readonly authority: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** How long it was asked for; its successor gets the same. */
  readonly lifetimeMs: number;
  readonly keyAlgorithm: KeyAlgorithm;
  /** Where its private key is: here in the clear, here under a passphrase, or with whoever made the request. */
  readonly key: 'here' | 'sealed' | 'elsewhere';
  readonly revoked: { readonly atMs: number; readonly reason: RevocationReason } | undefined;
}

export interface Ledger {
  readonly tenant: TenantId;
  readonly trustDomain: string;
  /** Names that the CAs are held to; undefined: to none. */
  readonly constrained: { readonly dnsNames: readonly string[] } | undefined;
  readonly keyAlgorithm: KeyAlgorithm;
  readonly crlLifetimeMs: number;
  /** Of the newest revocation list. */
  readonly crlNumber: number;
  readonly authorities: readonly AuthorityEntry[];
  /** Oldest first. */
  readonly certificates: readonly CertificateEntry[];
}

const FORMAT = 1;

/** The file's text. */
export function formatLedger(ledger: Ledger): string {
  return `${JSON.stringify({ format: FORMAT, ...ledger }, null, 1)}\n`;
}

/** Reads a ledger's text. Throws a PkiProblem for everything that this program would not have written. */
export function parseLedger(text: string, path: string): Ledger {
  const source = new Fields(parseJson(text, path), path, '');
  if (source.number('format') !== FORMAT) source.fail('format', `is not ${FORMAT}`);
  return {
    tenant: source.text('tenant', parseTenantId),
    trustDomain: source.text('trustDomain', (text) => text),
    constrained: source.optional('constrained', (inner) => ({ dnsNames: inner.texts('dnsNames') })),
    keyAlgorithm: source.text('keyAlgorithm', keyAlgorithm),
    crlLifetimeMs: source.number('crlLifetimeMs'),
    crlNumber: source.number('crlNumber'),
    authorities: source.list('authorities', authorityOf),
    certificates: source.list('certificates', certificateOf),
  };
}

function authorityOf(source: Fields): AuthorityEntry {
  return {
    id: source.number('id'),
    state: source.text('state', authorityState),
    serial: source.text('serial', hex),
    sha256: source.text('sha256', hex),
    notAfterMs: source.number('notAfterMs'),
  };
}

function certificateOf(source: Fields): CertificateEntry {
  return {
    serial: source.text('serial', hex),
    sha256: source.text('sha256', hex),
    use: source.text('use', leafUse),
    name: source.text('name', parseLeafName),
    dnsNames: source.texts('dnsNames'),
    ipAddresses: source.texts('ipAddresses'),
    spiffeId: source.has('spiffeId') ? source.text('spiffeId', (text) => text) : undefined,
    authority: source.number('authority'),
    notBeforeMs: source.number('notBeforeMs'),
    notAfterMs: source.number('notAfterMs'),
    lifetimeMs: source.number('lifetimeMs'),
    keyAlgorithm: source.text('keyAlgorithm', keyAlgorithm),
    key: source.text('key', keyPlace),
    revoked: source.optional('revoked', (inner) => ({
      atMs: inner.number('atMs'),
      reason: inner.text('reason', revocationReason),
    })),
  };
}

/** A leaf's directory name: one path segment that neither hides nor climbs. */
export function parseLeafName(text: string): string | undefined {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(text) ? text : undefined;
}

export function revocationReason(text: string): RevocationReason | undefined {
  return isReason(text) ? text : undefined;
}

function isReason(text: string): text is RevocationReason {
  return Object.hasOwn(REVOCATION_REASON, text);
}

const keyAlgorithm = (text: string): KeyAlgorithm | undefined =>
  text === 'P-256' || text === 'Ed25519' ? text : undefined;
const authorityState = (text: string): AuthorityState | undefined =>
  text === 'next' || text === 'signing' || text === 'retiring' || text === 'retired' ? text : undefined;
const leafUse = (text: string): LeafUse | undefined => (text === 'server' || text === 'client' ? text : undefined);
const keyPlace = (text: string): CertificateEntry['key'] | undefined =>
  text === 'here' || text === 'sealed' || text === 'elsewhere' ? text : undefined;
const hex = (text: string): string | undefined => (/^[0-9a-f]{1,64}$/.test(text) ? text : undefined);

export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(path, 'is not JSON', 'put it back from a backup');
  }
}

/** The fields of one JSON object, each read with its check. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #path: string;
  readonly #place: string;

  constructor(value: unknown, path: string, place: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw damaged(path, `has no object at ${place === '' ? 'its top' : place}`, 'put it back from a backup');
    }
    this.#values = new Map(Object.entries(value));
    this.#path = path;
    this.#place = place;
  }

  fail(name: string, what: string): never {
    throw damaged(this.#path, `is damaged: ${this.#place}${name} ${what}`, 'put it back from a backup');
  }

  has(name: string): boolean {
    return this.#values.get(name) !== undefined;
  }

  number(name: string): number {
    const value = this.#values.get(name);
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.fail(name, 'is no whole number');
  }

  text<T>(name: string, parse: (text: string) => T | undefined): T {
    const value = this.#values.get(name);
    const parsed = typeof value === 'string' && value.length <= 4096 ? parse(value) : undefined;
    return parsed ?? this.fail(name, 'is not what it must be');
  }

  texts(name: string): readonly string[] {
    const values = this.#values.get(name);
    const isText = (value: unknown): value is string => typeof value === 'string';
    return Array.isArray(values) && values.every(isText) ? values : this.fail(name, 'is no list of texts');
  }

  flag(name: string): boolean {
    const value = this.#values.get(name);
    return typeof value === 'boolean' ? value : this.fail(name, 'is neither true nor false');
  }

  optional<T>(name: string, read: (inner: Fields) => T): T | undefined {
    return this.has(name) ? read(new Fields(this.#values.get(name), this.#path, `${this.#place}${name}.`)) : undefined;
  }

  list<T>(name: string, read: (item: Fields) => T): readonly T[] {
    const values = this.#values.get(name);
    if (!Array.isArray(values)) return this.fail(name, 'is no list');
    return values.map((value, index) => read(new Fields(value, this.#path, `${this.#place}${name}[${index}].`)));
  }
}
