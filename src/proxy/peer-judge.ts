/**
 * Who may come in, after the handshake: the tenant that the server name names or, where tenants share a name and a certificate, the one whose
 * client the certificate is. In any case the chain is verified against exactly that tenant's CA. The same decides again when the
 * configuration changes.
 */
import type { X509Certificate } from 'node:crypto';
import type { SharedListenerConfig } from '../config/generation.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';
import { acceptPeer, type Peer, type PeerAddress } from '../identity/peer.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, type Result } from '../kernel/result.ts';
import { LOST_TENANT, lostAuthorization } from './lost-authorization.ts';
import type { Tenants } from './tenants.ts';

/** A connection whose handshake is over. */
export interface Arrival {
  /** As sent; empty: none. */
  readonly serverName: string;
  readonly certificate: X509Certificate | undefined;
  /** What OpenSSL has against the certificate, of a handshake in a tenant's own context; undefined: nothing. */
  readonly openssl: string | undefined;
  readonly remote: PeerAddress;
}

export interface ArrivalRefusal {
  readonly reason:
    | 'TLS_UNKNOWN_SERVER_NAME'
    | 'TLS_CLIENT_CERT_REQUIRED'
    | 'TLS_CLIENT_CERT_UNTRUSTED'
    | 'TLS_CLIENT_CERT_UNACCEPTABLE'
    /** No tenant's, by what the certificate says. */
    | 'TENANT_UNKNOWN'
    | 'TENANT_AMBIGUOUS'
    /** It is a tenant's client, and came in another's name: an attempt to cross. */
    | 'TENANT_MISMATCH';
  readonly detail: string;
  /** Of the certificate, unverified; undefined: the server name says it, if anything does. */
  readonly claim?: string;
}

type Verdict = Result<Peer, ArrivalRefusal>;

export class PeerJudge {
  readonly #tenants: Tenants;
  readonly #now: () => EpochMicros;
  #shared: SharedListenerConfig | undefined;
  #sharedNames: ReadonlySet<string> = new Set();
  /** What a peer was let in with, to be judged again. */
  readonly #certificates = new WeakMap<Peer, X509Certificate>();

  constructor(tenants: Tenants, now: () => EpochMicros, shared: SharedListenerConfig | undefined) {
    this.#tenants = tenants;
    this.#now = now;
    this.share(shared);
  }

  /** What tenants share from now on; undefined: nothing. */
  share(shared: SharedListenerConfig | undefined): void {
    this.#shared = shared;
    this.#sharedNames = new Set(shared?.serverNames);
  }

  /** Whether a client that sends this name may be any tenant's; empty: it sends none. */
  isShared(serverName: string): boolean {
    return this.#shared !== undefined && (serverName === '' || this.#sharedNames.has(serverName.toLowerCase()));
  }

  judge(arrival: Arrival): Verdict {
    const { serverName, certificate, openssl, remote } = arrival;
    const named = this.#tenants.claimed(serverName);
    const own = named !== undefined && named.sharesCertificate !== true;
    // A tenant may have been removed between the handshake's start and its end.
    if (!own && (this.#shared === undefined || (named === undefined && !this.isShared(serverName)))) {
      return refuse('TLS_UNKNOWN_SERVER_NAME', '');
    }
    if (certificate === undefined) return refuse('TLS_CLIENT_CERT_REQUIRED', '');
    if (own && openssl !== undefined) return refuse('TLS_CLIENT_CERT_UNTRUSTED', openssl);
    const verdict = own ? this.#judgeNamed(named, certificate, remote) : this.#judgeShared(named, certificate, remote);
    if (verdict.ok) this.#certificates.set(verdict.value, certificate);
    return verdict;
  }

  /** Why a peer's certificate would no longer make it its tenant's client; undefined: it would, and the peer knows until when. */
  lost(peer: Peer): Denial | undefined {
    const tenant = this.#tenants.config(peer.claim.id);
    if (tenant === undefined || tenant.slot !== peer.claim.slot) return LOST_TENANT;
    const certificate = this.#certificates.get(peer);
    const judged = certificate && this.#accept(tenant, peer.claim.by, certificate, peer);
    if (judged?.ok === false) return lostAuthorization(judged.error);
    if (judged !== undefined) peer.judgedAgain(judged.value);
    return undefined;
  }

  /** Whether a peer that came in under a server name would be let in now. */
  trusts(peer: Peer, serverName: string): boolean {
    const certificate = this.#certificates.get(peer);
    const verdict = this.judge({ serverName, certificate, openssl: undefined, remote: peer });
    return verdict.ok && verdict.value.claim.id === peer.claim.id;
  }

  /** By a name of the tenant's, in a handshake in which OpenSSL has verified the certificate against the tenant's CA. */
  #judgeNamed(tenant: StoredTenant, certificate: X509Certificate, remote: PeerAddress): Verdict {
    const peer = this.#accept(tenant, 'sni', certificate, remote);
    return peer.ok ? peer : refuse('TLS_CLIENT_CERT_UNACCEPTABLE', whyOf(peer.error));
  }

  #judgeShared(named: StoredTenant | undefined, certificate: X509Certificate, remote: PeerAddress): Verdict {
    const found = this.#tenants.found(certificate);
    if (found.kind === 'nobody') return refuse('TENANT_UNKNOWN', found.why);
    if (found.kind === 'several') return refuse('TENANT_AMBIGUOUS', found.why);
    const { tenant } = found;
    const peer = this.#accept(tenant, 'certificate', certificate, remote);
    // First what is proven: a name that nobody has shown to be somebody's is no attempt of theirs.
    if (!peer.ok) return refuse('TLS_CLIENT_CERT_UNACCEPTABLE', whyOf(peer.error), tenant.id);
    if (named === undefined || named.id === tenant.id) return peer;
    return refuse('TENANT_MISMATCH', `claimed=${named.id} presented=${tenant.id} by=server name`);
  }

  #accept(
    tenant: StoredTenant,
    by: 'sni' | 'certificate',
    certificate: X509Certificate,
    remote: PeerAddress,
  ): Result<Peer, Denial> {
    const trust = {
      ...trustOf(tenant),
      clientCas: this.#tenants.clientCas(tenant),
      alone: by === 'certificate',
    };
    return acceptPeer({ id: tenant.id, slot: tenant.slot, by }, certificate, remote, trust, this.#now());
  }
}

/** What must be in a client's certificate for it to be a tenant's. */
export function trustOf({ trustDomain, identifiedBy }: StoredTenant): {
  readonly trustDomain: string | undefined;
  readonly spiffeIds: readonly string[] | undefined;
} {
  return { trustDomain, spiffeIds: identifiedBy?.kind === 'spiffe' ? identifiedBy.ids : undefined };
}

function refuse(reason: ArrivalRefusal['reason'], detail: string, claim?: string): Verdict {
  return err({ reason, detail, ...(claim === undefined ? {} : { claim }) });
}

function whyOf(denial: Denial): string {
  return denial.kind === 'certificate_unacceptable' ? denial.why : denial.kind;
}
