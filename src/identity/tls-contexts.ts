/**
 * The TLS contexts of the tenants: each its own certificate, key and client CA, compiled when a tenant's first connection
 * comes and dropped when it has been idle, so that ten thousand tenants cost what the active ones need.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { KeyPairPem, ListenerConfig } from '../config/generation.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';
import type { TenantId } from '../kernel/ids.ts';

export type MinTlsVersion = ListenerConfig['minTlsVersion'];

interface Entry {
  readonly tenant: TenantId;
  readonly digest: string;
  readonly context: SecureContext;
  used: boolean;
}

export class TlsContexts {
  readonly #entries = new Map<string, Entry>();

  /** Contexts held now. */
  get size(): number {
    return this.#entries.size;
  }

  /** The context of a tenant's configuration. Throws an Error when OpenSSL refuses its certificate, key or CA. */
  contextFor(tenant: StoredTenant, minVersion: MinTlsVersion): SecureContext {
    const key = `${minVersion} ${tenant.digest}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { tenant: tenant.id, digest: tenant.digest, context: compile(tenant, minVersion), used: true };
      this.#entries.set(key, entry);
    }
    entry.used = true;
    return entry.context;
  }

  /** Forgets every context of a tenant and digest that are not the present ones: after a change of the configuration. */
  retain(isPresent: (tenant: TenantId, digest: string) => boolean): void {
    for (const [key, { tenant, digest }] of this.#entries) if (!isPresent(tenant, digest)) this.#entries.delete(key);
  }

  /** Forgets every context that nobody asked for since the last call. Open connections keep theirs. */
  dropIdle(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.used) entry.used = false;
      else this.#entries.delete(key);
    }
  }
}

/** What every context of the listener has, its default one too. */
export function contextDefaults(minVersion: MinTlsVersion): {
  readonly minVersion: MinTlsVersion;
  readonly maxVersion: 'TLSv1.3';
  readonly ciphers: string;
  readonly honorCipherOrder: true;
  readonly ecdhCurve: string;
  readonly secureOptions: number;
} {
  return {
    minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    ecdhCurve: GROUPS,
    secureOptions: NO_RESUMPTION | constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
  };
}

function compile({ certificate, clientCaPem }: StoredTenant, minVersion: MinTlsVersion): SecureContext {
  if (certificate === undefined) throw new Error('the SPIFFE Workload API gives no certificate for it');
  return createSecureContext({
    ...contextDefaults(minVersion),
    cert: certificate.chainPem,
    key: certificate.keyPem,
    // This CA and no other: it replaces the system's roots, and the client is told no other tenant's CA names. For an empty text
    // Node would take the system's.
    ca: clientCaPem === '' ? [] : clientCaPem,
    // What the operator lists is trusted as listed, also an intermediate without its root.
    allowPartialTrustChain: true,
  });
}

/**
 * The context that tenants share. It has no CA: of ten thousand tenants' CAs the names alone, which a context tells whoever asks, are more
 * than a handshake may have. What a client's certificate is worth is for `chain.ts` alone to say.
 */
export function sharedContext(certificate: KeyPairPem, minVersion: MinTlsVersion): SecureContext {
  return createSecureContext({
    ...contextDefaults(minVersion),
    cert: certificate.chainPem,
    key: certificate.keyPem,
    ca: [],
  });
}

/**
 * No session is ever resumed. OpenSSL keeps the ticket keys in the context that a connection begins with, which all tenants
 * share: a ticket of one tenant's session would open another's. Without tickets TLS 1.3 names sessions by a cache key, and
 * the listener keeps no cache. A full handshake costs about a millisecond, once per long-lived connection.
 */
const NO_RESUMPTION = constants.SSL_OP_NO_TICKET;

/** TLS 1.3 suites first; of 1.2 only ECDHE with an AEAD (RFC 9113 §9.2.2 forbids the others). AES-128 first: hardware has it. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** Hybrid with ML-KEM first, so that what is recorded today stays sealed; an OpenSSL before 3.5 does not know it. */
const GROUPS = knowsGroups('X25519MLKEM768:X25519:P-256') ? 'X25519MLKEM768:X25519:P-256' : 'X25519:P-256';

function knowsGroups(groups: string): boolean {
  try {
    createSecureContext({ ecdhCurve: groups, ca: [] });
    return true;
  } catch {
    return false;
  }
}
