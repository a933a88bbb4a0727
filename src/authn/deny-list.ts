/**
 * Credentials that are refused although they are valid in themselves, looked up by what they are. Compiled once for each generation of
 * the list; asked when a caller is made, never for each call.
 */
import type { DeniedCredential } from '../config/credentials-config.ts';
import type { EpochMicros } from '../kernel/ids.ts';

/** What of a caller's credentials a list can name. */
export interface Deniable {
  readonly certificate: { readonly serial: string; readonly issuer: string; readonly spiffeId: string | undefined };
  readonly keyId: string | undefined;
  readonly token:
    | { readonly issuer: string; readonly subject: string; readonly sessions: readonly string[] }
    | undefined;
}

export class DenyList {
  readonly #byName = new Map<string, DeniedCredential[]>();

  constructor(entries: readonly DeniedCredential[]) {
    for (const entry of entries) {
      const name = nameOf(entry.kind, entry.value);
      const known = this.#byName.get(name);
      if (known === undefined) this.#byName.set(name, [entry]);
      else known.push(entry);
    }
  }

  /** The first entry that one of the credentials is in, now. */
  find({ certificate, keyId, token }: Deniable, now: EpochMicros): DeniedCredential | undefined {
    if (this.#byName.size === 0) return undefined;
    return (
      this.#entry('serial', certificate.serial, certificate.issuer, now) ??
      this.#entry('spiffe', certificate.spiffeId, undefined, now) ??
      this.#entry('key', keyId, undefined, now) ??
      this.#entry('subject', token?.subject, token?.issuer, now) ??
      token?.sessions.map((session) => this.#entry('session', session, token.issuer, now)).find((found) => found)
    );
  }

  #entry(
    kind: DeniedCredential['kind'],
    value: string | undefined,
    issuer: string | undefined,
    now: EpochMicros,
  ): DeniedCredential | undefined {
    if (value === undefined) return undefined;
    return this.#byName
      .get(nameOf(kind, value))
      ?.find((entry) => isInForce(entry, now) && isIssuedBy(entry, kind, issuer));
  }
}

function nameOf(kind: string, value: string): string {
  return `${kind} ${value}`;
}

function isInForce({ untilSeconds }: DeniedCredential, now: EpochMicros): boolean {
  return untilSeconds === undefined || now < untilSeconds * 1_000_000;
}

function isIssuedBy(entry: DeniedCredential, kind: DeniedCredential['kind'], issuer: string | undefined): boolean {
  if (entry.issuer === undefined || issuer === undefined) return entry.issuer === undefined;
  return kind === 'serial' ? isSameName(entry.issuer, issuer) : entry.issuer === issuer;
}

/** OpenSSL, Node and people write a CA's name with other spaces, and from either end. */
function isSameName(one: string, other: string): boolean {
  const [first, second] = [partsOf(one), partsOf(other)];
  return first.join() === second.join() || first.join() === second.toReversed().join();
}

function partsOf(name: string): readonly string[] {
  return (name.match(PART) ?? []).map((part) =>
    part
      .replaceAll(QUOTE, '$1')
      .replace(/\s*=\s*/, '=')
      .trim(),
  );
}

/** Up to a comma that is neither escaped (RFC 4514, and Node) nor within quotes (OpenSSL). */
const PART = /(?:\\.|"(?:\\.|[^"\\])*"|[^,\n])+/g;
/** What is there for reading only. */
const QUOTE = /\\(.)|"/g;
