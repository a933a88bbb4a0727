/**
 * Whether one tenant's clients still have their certificates: what its CAs say of them, as far as the tenant asks.
 */
import { X509Certificate } from 'node:crypto';
import type { ClientRevocationConfig } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { newestLists, type RevocationLists, revocationStatus } from '../identity/client-revocation.ts';
import type { Peer } from '../identity/peer.ts';
import { type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { Revocations } from './revocations.ts';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class ClientCertificates {
  readonly #tenant: TenantId;
  readonly #config: ClientRevocationConfig;
  readonly #cas: readonly X509Certificate[];
  readonly #revocations: Revocations;
  /** Those of files and those that were fetched, as of an epoch. */
  #lists: RevocationLists;
  #epoch: number;

  private constructor(tenant: TenantConfig, config: ClientRevocationConfig, revocations: Revocations) {
    this.#tenant = tenant.id;
    this.#config = config;
    this.#cas = (tenant.clientCaPem.match(PEM_CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    this.#revocations = revocations;
    this.#lists = this.#newest();
    this.#epoch = revocations.epoch;
  }

  /** Undefined: the tenant does not ask. */
  static of(tenant: TenantConfig, revocations: Revocations): ClientCertificates | undefined {
    const { clientRevocation } = tenant;
    return clientRevocation && new ClientCertificates(tenant, clientRevocation, revocations);
  }

  /** Until when a client's certificate is known to be its own, in microseconds; or why it is refused. */
  status(peer: Peer, now: EpochMicros): { readonly ok: true; readonly value: number } | Denied {
    const { epoch } = this.#revocations;
    if (epoch !== this.#epoch) {
      this.#lists = this.#newest();
      this.#epoch = epoch;
    }
    const judged = revocationStatus(peer.links(this.#cas), this.#lists, this.#config, now / 1000);
    switch (judged.status) {
      case 'good':
        return { ok: true, value: judged.untilMs * 1000 };
      case 'revoked':
        return deny({ kind: 'certificate_unacceptable', why: 'revoked', revokedBy: judged.by });
      case 'unknown':
        return deny({ kind: 'certificate_unacceptable', why: judged.why });
    }
  }

  #newest(): RevocationLists {
    return newestLists([...this.#config.lists, ...this.#revocations.lists(this.#tenant)]);
  }
}
