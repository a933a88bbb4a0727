/**
 * A tenant with everything that trust needs: its PKI, an issuer, an API key, its configuration, and peers of its clients.
 */
import { createHash, X509Certificate } from 'node:crypto';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { IssuedCertificate } from '../../src/identity/issue.ts';
import { acceptPeer, type Peer } from '../../src/identity/peer.ts';
import { type EpochMicros, parseTenantId, type TenantId } from '../../src/kernel/ids.ts';
import type { TenantClaim } from '../../src/tenancy/tenant.ts';
import { type TenantPki, tenantPki } from './pki.ts';
import { FakeIssuer } from './tokens.ts';

/** Seconds to the kernel's microseconds. */
export function micros(seconds: number): EpochMicros {
  return Math.floor(seconds * 1_000_000) as EpochMicros;
}

/** A tenant id that is known to be one. */
export function tenantId(text: string): TenantId {
  const id = parseTenantId(text);
  if (id === undefined) throw new RangeError(`not a tenant id: ${text}`);
  return id;
}

export interface FakeTenant {
  readonly config: TenantConfig;
  readonly claim: TenantClaim;
  readonly pki: TenantPki;
  readonly issuer: FakeIssuer;
  /** `bk_<tenant>-key_<secret>`. */
  readonly apiKey: string;
  /** The peer that a client with this certificate is (default: the tenant's client), now. */
  peer(client?: IssuedCertificate): Peer;
}

/** Makes a tenant; `changes` replace parts of its configuration. */
export function fakeTenant(name: string, changes: Partial<TenantConfig> = {}, issuer?: FakeIssuer): FakeTenant {
  const pki = tenantPki(name);
  const tokens = issuer ?? new FakeIssuer(`https://${name}.idp.test`);
  const secret = createHash('sha256').update(`secret of ${name}`).digest('base64url');
  const claim: TenantClaim = { id: tenantId(name), slot: 0, by: 'sni' };
  const config: TenantConfig = {
    id: claim.id,
    slot: claim.slot,
    file: `tenants/${name}.yaml`,
    digest: createHash('sha256').update(name).update(pki.ca.certPem).digest('hex'),
    serverNames: [pki.serverName],
    certificate: { chainPem: pki.server.certPem, keyPem: pki.server.keyPem },
    clientCaPem: pki.ca.certPem,
    trustDomain: pki.trustDomain,
    accept: ['certificate', 'token', 'api-key'],
    issuers: [
      {
        issuer: tokens.issuer,
        audiences: ['bulkhead'],
        algorithms: [tokens.algorithm],
        jwks: { kind: 'inline', json: tokens.jwks() },
        clockSkewMs: 30_000,
        tenantClaim: undefined,
        requireBound: false,
      },
    ],
    apiKeys: [
      {
        id: `${name}-key`,
        sha256: createHash('sha256').update(secret).digest('hex'),
        expiresAtSeconds: undefined,
        revoked: false,
      },
    ],
    roles: [],
    bindings: [],
    quota: { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined },
    byteAccountBytes: 64 * 1024 * 1024,
    upstream: {
      target: { kind: 'tcp', host: '127.0.0.1', port: 1 },
      tls: undefined,
      display: 'http://127.0.0.1:1',
      connectTimeoutMs: 1_000,
      maxConnections: 1,
      maxPendingCalls: 1,
      authority: '127.0.0.1:1',
    },
    trace: { clientContext: 'link' },
    opaqueServices: [],
    ...changes,
  };
  return {
    config,
    claim,
    pki,
    issuer: tokens,
    apiKey: `bk_${name}-key_${secret}`,
    peer: (client = pki.client) => peerOf(config, claim, client),
  };
}

function peerOf(config: TenantConfig, claim: TenantClaim, client: IssuedCertificate): Peer {
  const trust = { trustDomain: config.trustDomain, clientCas: [new X509Certificate(config.clientCaPem)] };
  const now = micros(Date.now() / 1000);
  const peer = acceptPeer(
    claim,
    new X509Certificate(client.certPem),
    { address: '127.0.0.1', port: 40_000 },
    trust,
    now,
  );
  if (!peer.ok) throw new Error(JSON.stringify(peer.error));
  return peer.value;
}
