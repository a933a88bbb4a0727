/**
 * Whether a client's certificate, or a CA between it and its tenant's, has been taken back by whoever issued it. Pure: lists and time are
 * arguments.
 */
import type { X509Certificate } from 'node:crypto';
import { MAX_CHAIN } from './chain.ts';
import { authorityOf, type RevocationList } from './revocation-list-reader.ts';
import { SerialTable } from './serial-table.ts';

/** A certificate of a chain, and whose list would have it. */
export interface ChainLink {
  /** Hex. */
  readonly serial: string;
  /** `authorityOf` its issuer. */
  readonly authority: string;
  /** The issuer's name, one line. */
  readonly issuer: string;
}

/** What a tenant makes of the lists of its CAs. */
export interface RevocationPolicy {
  /** A list counts for so long after its nextUpdate. */
  readonly graceMs: number;
  /** What becomes of clients whose CA has no list that counts. */
  readonly whenUnknown: 'refuse' | 'allow';
}

export type RevocationStatus =
  | { readonly status: 'revoked'; readonly by: string }
  /** Nobody knows, and that is not enough. */
  | { readonly status: 'unknown'; readonly why: string }
  /** In milliseconds since the epoch: from then on it is to be asked again. */
  | { readonly status: 'good'; readonly untilMs: number };

/** The newest list of each CA, by `RevocationList.authority`. */
export type RevocationLists = ReadonlyMap<string, RevocationList>;

/** The chain from a leaf to one of these CAs, which has been found good (`chain.ts`); empty when it ends at none of them. */
export function chainLinks(leaf: X509Certificate, cas: readonly X509Certificate[]): readonly ChainLink[] {
  const links: ChainLink[] = [];
  for (let current = leaf; links.length < MAX_CHAIN; ) {
    const below = current;
    const anchor = cas.find((ca) => hasIssued(ca, below));
    const issuer = anchor ?? current.issuerCertificate;
    if (issuer === undefined) return [];
    links.push({
      serial: current.serialNumber,
      authority: authorityOf(issuer),
      issuer: issuer.subject?.replaceAll('\n', ', ') ?? '',
    });
    if (anchor !== undefined) return links;
    current = issuer;
  }
  return [];
}

/** Who has issued a leaf, of these CAs or of those that it came with; undefined: nobody that is known. */
export function issuerOf(leaf: X509Certificate, cas: readonly X509Certificate[]): X509Certificate | undefined {
  return cas.find((ca) => hasIssued(ca, leaf)) ?? leaf.issuerCertificate;
}

function hasIssued(ca: X509Certificate, certificate: X509Certificate): boolean {
  try {
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
  } catch {
    return false;
  }
}

/** The newest of each CA's lists. */
export function newestLists(lists: Iterable<RevocationList>): RevocationLists {
  const newest = new Map<string, RevocationList>();
  for (const list of lists) {
    const known = newest.get(list.authority);
    if (known === undefined || isNewer(list, known)) newest.set(list.authority, list);
  }
  return newest;
}

/** Whether a list is newer than another one of the same CA: by its number, or by its time where one has none. */
export function isNewer(one: RevocationList, other: RevocationList): boolean {
  if (one.number === undefined || other.number === undefined || one.number === other.number) {
    return one.thisUpdateMs > other.thisUpdateMs;
  }
  return BigInt(one.number) > BigInt(other.number);
}

/** Asks the lists about every certificate of a chain. */
export function revocationStatus(
  links: readonly ChainLink[],
  lists: RevocationLists,
  { graceMs, whenUnknown }: RevocationPolicy,
  nowMs: number,
): RevocationStatus {
  let untilMs = Number.POSITIVE_INFINITY;
  // Nothing can be said of a chain whose CAs are not known, and nothing is not good.
  let unknown = links.length === 0 && whenUnknown === 'refuse' ? 'its chain ends at no CA of its tenant' : undefined;
  for (const { serial, authority, issuer } of links) {
    const list = lists.get(authority);
    // Also one that is too old: what it has revoked stays revoked.
    if (list !== undefined && new SerialTable(list.revoked).has(serial)) {
      const number = list.number === undefined ? '' : ` ${list.number}`;
      return { status: 'revoked', by: `revocation list${number} of ${issuer}` };
    }
    if (whenUnknown === 'allow') continue;
    const end = (list?.nextUpdateMs ?? Number.NEGATIVE_INFINITY) + graceMs;
    if (nowMs >= end) {
      const why = list === undefined ? 'there is none' : `it ended at ${new Date(list.nextUpdateMs).toISOString()}`;
      unknown ??= `no revocation list of ${issuer}: ${why}`;
    } else if (end < untilMs) untilMs = end;
  }
  return unknown === undefined ? { status: 'good', untilMs } : { status: 'unknown', why: unknown };
}
