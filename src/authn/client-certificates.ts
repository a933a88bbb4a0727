/**
 * Whether one tenant's clients still have their certificates: what its CAs say of them, as far as the tenant asks.
 */
import { X509Certificate } from 'node:crypto';
import type { ClientRevocationConfig } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import {
  newestLists,
  type RevocationLists,
  type RevocationStatus,
  revocationStatus,
} from '../identity/client-revocation.ts';
import type { Peer } from '../identity/peer.ts';
import { type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { StatusHold } from './client-statuses.ts';
import type { CertificateStatus } from './ocsp-exchange.ts';
import type { RevocationEpoch, Revocations } from './revocations.ts';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class ClientCertificates {
  readonly #tenant: TenantId;
  readonly #config: ClientRevocationConfig;
  readonly #cas: readonly X509Certificate[];
  readonly #revocations: Revocations;
  /** Those of files and those that were fetched, as of an epoch. */
  #lists: RevocationLists;
  readonly #epoch: RevocationEpoch;
  #listedAt: number;

  private constructor(tenant: TenantConfig, config: ClientRevocationConfig, revocations: Revocations) {
    this.#tenant = tenant.id;
    this.#config = config;
    this.#cas = (tenant.clientCaPem.match(PEM_CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    this.#revocations = revocations;
    this.#lists = this.#newest();
    this.#epoch = revocations.epochOf(tenant.id);
    this.#listedAt = this.#epoch.value;
  }

  /** Undefined: the tenant does not ask. */
  static of(tenant: TenantConfig, revocations: Revocations): ClientCertificates | undefined {
    const { clientRevocation } = tenant;
    return clientRevocation && new ClientCertificates(tenant, clientRevocation, revocations);
  }

  /** Until when a client's certificate is known to be its own, in microseconds; or why it is refused. */
  status(peer: Peer, now: EpochMicros): { readonly ok: true; readonly value: number } | Denied {
    if (this.#epoch.value !== this.#listedAt) {
      this.#lists = this.#newest();
      this.#listedAt = this.#epoch.value;
    }
    const nowMs = now / 1000;
    const judged = worse(
      revocationStatus(peer.links(this.#cas), this.#lists, this.#config, nowMs),
      this.#said(peer, nowMs),
    );
    switch (judged.status) {
      case 'good':
        return { ok: true, value: judged.untilMs * 1000 };
      case 'revoked':
        return deny({ kind: 'certificate_unacceptable', why: 'revoked', revokedBy: judged.by });
      case 'unknown':
        return deny({ kind: 'certificate_unacceptable', why: judged.why, statusUnknown: true });
    }
  }

  /** Has the certificate's responder asked for as long as somebody holds on to it; undefined: its tenant asks none. */
  hold(peer: Peer): StatusHold | undefined {
    const { ocsp } = this.#config;
    const issued = ocsp === undefined ? undefined : peer.issued(this.#cas);
    if (ocsp === undefined || issued === undefined) return undefined;
    const question = { tenant: this.#tenant, id: peer.certificate.sha256, ...issued };
    return this.#revocations.statuses?.hold(question, ocsp.timeoutMs);
  }

  /** What its responder says of the certificate. */
  #said(peer: Peer, nowMs: number): RevocationStatus {
    const { ocsp } = this.#config;
    if (ocsp === undefined) return GOOD;
    const status = this.#revocations.statuses?.status(this.#tenant, peer.certificate.sha256);
    return statusSaid(status, peer, ocsp.whenUnknown, nowMs);
  }

  #newest(): RevocationLists {
    return newestLists([...this.#config.lists, ...this.#revocations.lists(this.#tenant)]);
  }
}

const GOOD: RevocationStatus = { status: 'good', untilMs: Number.POSITIVE_INFINITY };

/** What is said of one certificate, as of now. */
export function statusSaid(
  said: CertificateStatus | undefined,
  { certificate }: Pick<Peer, 'certificate'>,
  whenUnknown: 'refuse' | 'allow',
  nowMs: number,
): RevocationStatus {
  // Also by an answer that has ended: what was taken back stays so until somebody says otherwise.
  if (said !== undefined && said.status === 'revoked')
    return { status: 'revoked', by: `OCSP responder of ${certificate.issuer}` };
  if (whenUnknown === 'allow') return GOOD;
  if (said !== undefined && said.status !== 'none') {
    if (nowMs < said.untilMs) return { status: 'good', untilMs: said.untilMs };
    return { status: 'unknown', why: `no OCSP answer: the last one ended at ${new Date(said.untilMs).toISOString()}` };
  }
  return { status: 'unknown', why: `no OCSP answer: ${said === undefined ? 'nobody has been asked yet' : said.why}` };
}

/** Of two who were asked: whoever says that it is revoked is right, and one who does not know is enough not to know. */
function worse(one: RevocationStatus, other: RevocationStatus): RevocationStatus {
  if (one.status === 'good' && other.status === 'good') return one.untilMs < other.untilMs ? one : other;
  if (one.status === 'revoked' || other.status === 'good') return one;
  return other;
}
