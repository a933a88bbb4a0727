/**
 * Whose client a certificate is, where no server name says so. What is found here is a claim: only the chain, verified against exactly
 * that tenant's CA (`identity/peer.ts`), makes it more. Where more than one tenant could claim a certificate, nobody does.
 */
import type { X509Certificate } from 'node:crypto';
import type { StoredTenant } from '../config/stored-tenant.ts';
import { readCertificateFacts } from '../identity/certificate-facts.ts';
import { MAX_CHAIN, signedBy } from '../identity/chain.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { SpiffeOwners } from '../identity/spiffe-pattern.ts';
import { trustedCas } from './tenant-runtime.ts';

export type Found =
  | { readonly kind: 'tenant'; readonly tenant: StoredTenant }
  | { readonly kind: 'nobody'; readonly why: string }
  | { readonly kind: 'several'; readonly why: string };

export class SharedTenants {
  readonly #bySpiffeId = new SpiffeOwners<StoredTenant>();
  /** Those that are known by their CA, by the names that CAs have as issuers. */
  readonly #byCaName = new Map<string, Set<StoredTenant>>();

  enter(tenant: StoredTenant): void {
    const { identifiedBy } = tenant;
    if (identifiedBy?.kind === 'spiffe') for (const id of identifiedBy.ids) this.#bySpiffeId.enter(id, tenant);
    if (identifiedBy?.kind !== 'client-ca') return;
    for (const name of identifiedBy.names) {
      const known = this.#byCaName.get(name);
      if (known === undefined) this.#byCaName.set(name, new Set([tenant]));
      else known.add(tenant);
    }
  }

  leave(tenant: StoredTenant): void {
    const { identifiedBy } = tenant;
    if (identifiedBy?.kind === 'spiffe') for (const id of identifiedBy.ids) this.#bySpiffeId.leave(id, tenant);
    if (identifiedBy?.kind !== 'client-ca') return;
    for (const name of identifiedBy.names) {
      const known = this.#byCaName.get(name);
      known?.delete(tenant);
      if (known?.size === 0) this.#byCaName.delete(name);
    }
  }

  /** The tenant whose client a certificate says to be, with the chain that was presented. */
  find(certificate: X509Certificate): Found {
    const tenants = new Set([...this.#bySpiffe(certificate), ...this.#byCa(certificate)]);
    const [tenant, other] = tenants;
    if (tenant === undefined) return { kind: 'nobody', why: 'neither its SPIFFE id nor its CA is a tenant’s' };
    if (other === undefined) return { kind: 'tenant', tenant };
    return { kind: 'several', why: `${[...tenants].map(({ id }) => id).join(' and ')} could claim it` };
  }

  #bySpiffe(certificate: X509Certificate): Iterable<StoredTenant> {
    let uris: readonly string[];
    try {
      ({ uris } = readCertificateFacts(certificate.raw));
    } catch {
      return [];
    }
    // A certificate with two is nobody's SPIFFE certificate, and is refused as such.
    const id = uris.length === 1 ? parseSpiffeId(uris[0] ?? '') : undefined;
    return id === undefined ? [] : this.#bySpiffeId.ownersOf(id.uri);
  }

  /** All the way up: who stands above a tenant's CA could claim what the tenant's CA has signed. */
  #byCa(leaf: X509Certificate): Iterable<StoredTenant> {
    const found = new Set<StoredTenant>();
    if (this.#byCaName.size === 0) return found;
    let current: X509Certificate | undefined = leaf;
    for (let depth = 0; depth < MAX_CHAIN && current !== undefined; depth += 1) {
      const below: X509Certificate = current;
      for (const tenant of this.#byCaName.get(below.issuer ?? '') ?? []) {
        if (trustedCas(tenant.clientCaPem).some((ca) => signedBy(below, ca))) found.add(tenant);
      }
      const above: X509Certificate | undefined = below.issuerCertificate;
      current = above !== undefined && signedBy(below, above) ? above : undefined;
    }
    return found;
  }
}
