/**
 * From a finished TLS handshake to a `Peer`: a certificate that may speak for a tenant's client.
 *
 * OpenSSL has verified the chain against the CA that the server name chose. The checks here are our own second look at
 * what isolation hangs on: the chain ends at *this* tenant's CA (`chain.ts`), the leaf is a client's, and it names exactly
 * one identity.
 */
import type { X509Certificate } from 'node:crypto';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { TenantClaim } from '../tenancy/tenant.ts';
import { type CertificateFacts, readCertificateFacts } from './certificate-facts.ts';
import { judgeChain } from './chain.ts';
import { type ChainLink, chainLinks, issuerOf } from './client-revocation.ts';
import { EXTENDED_KEY_USAGE } from './extended-key-usage.ts';
import { claimsSpiffe, parseSpiffeId } from './spiffe-id.ts';
import { SpiffeOwners } from './spiffe-pattern.ts';

/** What may sign this tenant's clients. */
export interface PeerTrust {
  /** Trust domain that the SPIFFE id must have; then an id is required. undefined: any, or none. */
  readonly trustDomain: string | undefined;
  readonly clientCas: readonly X509Certificate[];
  /** Patterns (`spiffe-pattern.ts`) of which its SPIFFE id must be one; then an id is required. Absent: any, or none. */
  readonly spiffeIds?: readonly string[] | undefined;
  /** Nobody but us has verified the certificate: OpenSSL had no CA to do it with. Absent: it has. */
  readonly alone?: boolean;
}

/** The client certificate, as records need it. */
export interface PeerCertificate {
  /** SHA-256 of the DER, lower-case hex. */
  readonly sha256: string;
  /** Distinguished name, one line. */
  readonly subject: string;
  /** Upper-case hex without leading zeros. */
  readonly serial: string;
  /** The distinguished name of its CA, one line. */
  readonly issuer: string;
  readonly spiffeId: string | undefined;
  /** Lower-case, in the certificate's order. */
  readonly dnsNames: readonly string[];
  readonly notAfterSeconds: number;
}

/** Where it is. */
export interface PeerAddress {
  readonly address: string;
  readonly port: number;
  /** Of the load balancer that says so; absent: the connection itself does. */
  readonly proxy?: string | undefined;
  /** That it asked for, in lower case; absent: none. */
  readonly serverName?: string | undefined;
}

class PeerEvidence {
  readonly #sealed = true;
  /** Still a claim: the tenant's CA signed the certificate, but credentials may disagree. */
  readonly claim: TenantClaim;
  readonly certificate: PeerCertificate;
  /** `spiffe://…`, or `dns:` and the certificate's first DNS name. */
  readonly certificateId: string;
  readonly address: string;
  readonly port: number;
  /** The address of the load balancer that says where it is; undefined: the connection itself does. */
  readonly proxy: string | undefined;
  /** That the connection asked for, in lower case; empty: none. */
  readonly serverName: string;
  readonly #leaf: X509Certificate;
  #endsAt: number;
  #remembered: string;
  #chain: { readonly cas: readonly X509Certificate[]; readonly links: readonly ChainLink[] } | undefined;

  constructor(
    claim: TenantClaim,
    leaf: X509Certificate,
    certificate: PeerCertificate,
    id: string,
    { remote, endsAtMs }: { readonly remote: PeerAddress; readonly endsAtMs: number },
  ) {
    this.claim = claim;
    this.#leaf = leaf;
    this.certificate = certificate;
    this.#endsAt = endsAtMs * 1000;
    this.#remembered = rememberedAs(certificate, endsAtMs);
    this.certificateId = id;
    this.address = remote.address;
    this.port = remote.port;
    this.proxy = remote.proxy;
    this.serverName = remote.serverName ?? '';
  }

  /** When it is no client of its tenant's any more, in microseconds since the epoch: the first of its chain ends, or its CA does. */
  get endsAt(): number {
    return this.#endsAt;
  }

  /** Its certificate and, where a CA ends sooner, that end: what is remembered of one such client holds for another that has the same. */
  get remembered(): string {
    return this.#remembered;
  }

  /** The same client has been judged again, by other CAs: its chain may end at another time. */
  judgedAgain(again: PeerEvidence): void {
    this.#endsAt = again.#endsAt;
    this.#remembered = again.#remembered;
  }

  /** Its certificate and those between it and these CAs, for who asks whether they were taken back. */
  links(cas: readonly X509Certificate[]): readonly ChainLink[] {
    if (this.#chain?.cas !== cas) this.#chain = { cas, links: chainLinks(this.#leaf, cas) };
    return this.#chain.links;
  }

  /** Its certificate and that of who has issued it, in DER, for who asks about it; undefined: nobody knows who has. */
  issued(
    cas: readonly X509Certificate[],
  ): { readonly certificate: Uint8Array; readonly issuer: Uint8Array } | undefined {
    const issuer = issuerOf(this.#leaf, cas);
    return issuer && { certificate: this.#leaf.raw, issuer: issuer.raw };
  }

  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }
}

export type { PeerEvidence as Peer };

/**
 * Accepts a connection's client, or says why not. Call it once per connection, after the handshake.
 *
 * @param certificate the leaf as `TLSSocket.getPeerX509Certificate()` gives it, with its presented chain.
 */
export function acceptPeer(
  claim: TenantClaim,
  certificate: X509Certificate,
  remote: PeerAddress,
  trust: PeerTrust,
  now: EpochMicros,
): Result<PeerEvidence, Denial> {
  const facts = factsOf(certificate);
  if (!facts.ok) return facts;
  const chain = { cas: trust.clientCas, alone: trust.alone ?? false };
  const unfit = leafProblem(facts.value);
  if (unfit !== undefined) return unacceptable(unfit);
  const ends = judgeChain(certificate, facts.value, chain, now);
  if (!ends.ok) return unacceptable(ends.error);
  const names = identityOf(facts.value, trust);
  if (!names.ok) return names;
  const summary: PeerCertificate = {
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: certificate.subject?.replaceAll('\n', ', ') ?? '',
    serial: certificate.serialNumber.replace(/^0+(?=.)/, ''),
    issuer: certificate.issuer?.replaceAll('\n', ', ') ?? '',
    spiffeId: names.value.spiffeId,
    dnsNames: names.value.dnsNames,
    notAfterSeconds: Math.floor(certificate.validToDate.getTime() / 1000),
  };
  return ok(new PeerEvidence(claim, certificate, summary, names.value.id, { remote, endsAtMs: ends.value }));
}

function rememberedAs({ sha256, notAfterSeconds }: PeerCertificate, endsAtMs: number): string {
  return endsAtMs < notAfterSeconds * 1000 ? `${sha256} ${endsAtMs}` : sha256;
}

function factsOf(certificate: X509Certificate): Result<CertificateFacts, Denial> {
  try {
    return ok(readCertificateFacts(certificate.raw));
  } catch (error) {
    return unacceptable(error instanceof Error ? error.message : 'the certificate cannot be read');
  }
}

/** RFC 5280 §4.1.2.2. */
export const MAX_SERIAL_OCTETS = 20;

/** RFC 5280 §4.1.2.1, §4.1.2.2, §4.2.1.3; X509-SVID.md §4: a leaf signs nothing and says that it is a client's. */
function leafProblem(facts: CertificateFacts): string | undefined {
  if (facts.version !== 3) return `certificate version ${facts.version}, not 3`;
  if (!facts.serialPositive) return 'serial number is not positive';
  if (facts.serialOctets > MAX_SERIAL_OCTETS) return `serial number of ${facts.serialOctets} octets`;
  if (facts.isCa) return 'a CA certificate cannot be a client';
  if (facts.keyUsage?.has('keyCertSign') === true || facts.keyUsage?.has('crlSign') === true) {
    return 'a key that may sign certificates or revocation lists cannot be a client';
  }
  if (facts.keyUsage?.has('digitalSignature') === false) return 'no digitalSignature key usage';
  // OpenSSL lets a certificate without the extension pass as anything; anyExtendedKeyUsage would be the same.
  if (facts.extendedKeyUsage?.includes(EXTENDED_KEY_USAGE.clientAuth) !== true)
    return 'no clientAuth extended key usage';
  return undefined;
}

interface Names {
  readonly id: string;
  readonly spiffeId: string | undefined;
  readonly dnsNames: readonly string[];
}

/** X509-SVID.md §2: a SPIFFE certificate has exactly one URI. Without one, the first DNS name is the identity. */
function identityOf(facts: CertificateFacts, { trustDomain, spiffeIds }: PeerTrust): Result<Names, Denial> {
  const dnsNames = facts.dnsNames.map((name) => name.toLowerCase());
  if (!dnsNames.every((name) => DNS_NAME.test(name))) return unacceptable('a DNS name is malformed');
  if (facts.uris.some(claimsSpiffe)) {
    const spiffe = facts.uris.length === 1 ? parseSpiffeId(facts.uris[0] ?? '') : undefined;
    if (spiffe === undefined) {
      return unacceptable(facts.uris.length > 1 ? 'a SPIFFE certificate has one URI' : 'malformed SPIFFE id');
    }
    // X509-SVID.md §2: only a signing certificate may name the trust domain itself.
    if (spiffe.path === '') return unacceptable('a SPIFFE id without a path is no client');
    if (trustDomain !== undefined && spiffe.trustDomain !== trustDomain) {
      return unacceptable(`trust domain ${spiffe.trustDomain}, not ${trustDomain}`);
    }
    if (spiffeIds !== undefined && !isOneOf(spiffe.uri, spiffeIds)) {
      return unacceptable(`${spiffe.uri} is none of the tenant's ids`);
    }
    return ok({ id: spiffe.uri, spiffeId: spiffe.uri, dnsNames });
  }
  if (spiffeIds !== undefined) return unacceptable("no SPIFFE id of the tenant's");
  if (trustDomain !== undefined) return unacceptable(`no SPIFFE id of trust domain ${trustDomain}`);
  const first = dnsNames[0];
  if (first === undefined) return unacceptable('neither a SPIFFE id nor a DNS name');
  // A wildcard stands for many hosts, so it is nobody's identity.
  if (first.startsWith('*')) return unacceptable('a wildcard is not an identity');
  return ok({ id: `dns:${first}`, spiffeId: undefined, dnsNames });
}

function isOneOf(uri: string, patterns: readonly string[]): boolean {
  const ids = new SpiffeOwners<true>();
  for (const pattern of patterns) ids.enter(pattern, true);
  return ids.ownersOf(uri).size > 0;
}

const DNS_NAME =
  /^(?=.{1,253}$)(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

function unacceptable(why: string): Denied {
  return deny({ kind: 'certificate_unacceptable', why });
}
