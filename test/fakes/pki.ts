/**
 * A tenant's whole PKI, fresh for each test: its CA, a server certificate and a client certificate with a SPIFFE id.
 */
import { createCa, type IssuedCertificate, issueClient, issueServer } from '../../src/identity/issue.ts';

export interface TenantPki {
  readonly ca: IssuedCertificate;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
  /** `<tenant>.example`. */
  readonly trustDomain: string;
  /** `spiffe://<tenant>.example/client`. */
  readonly spiffeId: string;
  /** The server name that the server certificate is for: `<tenant>.models.test`. */
  readonly serverName: string;
}

/** Makes the PKI of one tenant, valid for a day. */
export function tenantPki(tenant: string): TenantPki {
  const ca = createCa({ commonName: `${tenant} test CA`, days: 1 });
  const trustDomain = `${tenant}.example`;
  const spiffeId = `spiffe://${trustDomain}/client`;
  const serverName = `${tenant}.models.test`;
  return {
    ca,
    server: issueServer(ca, { dnsNames: [serverName], ipAddresses: ['127.0.0.1', '::1'], days: 1 }),
    client: issueClient(ca, { commonName: `${tenant} client`, spiffeId, days: 1 }),
    trustDomain,
    spiffeId,
    serverName,
  };
}
