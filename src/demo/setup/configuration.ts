/**
 * The sidecar's configuration for the demo, as an operator would write it: it is meant to be opened and read.
 */
import { stringify } from 'yaml';
import { AUDIENCE, type TenantCredentials } from './credentials.ts';

export interface TenantPlan {
  readonly credentials: TenantCredentials;
  /** Models that the tenant may use. */
  readonly models: readonly string[];
  readonly quota: QuotaPlan;
}

export interface QuotaPlan {
  /** `100/s`. */
  readonly tenantCalls: string;
  readonly tenantBurst: number;
  readonly callerCalls: string;
  readonly callerBurst: number;
  readonly concurrentCalls: number;
}

/** What each tenant may have in flight. Far less than the large tensor of the demo, which passes all the same. */
export const BYTE_ACCOUNT = '16MiB';

const CALLABLE = ['ServerLive', 'ServerReady', 'ModelReady', 'ModelMetadata', 'ModelInfer', 'ModelStreamInfer'];

/** `bulkhead.yaml`. */
export function mainFile(otlpEndpoint: string): string {
  return document(
    'The demo’s sidecar. `bulkhead check --config bulkhead.yaml` says what is wrong with it, if anything.',
    {
      listen: { address: '127.0.0.1:0' },
      admin: { address: '127.0.0.1:0' },
      audit: { directory: 'audit' },
      telemetry: { otlp: { endpoint: otlpEndpoint, protocol: 'http/protobuf' } },
      shutdown: { drainTimeout: '5s' },
      tenants: 'tenants',
    },
  );
}

/** `tenants/<id>.yaml`. */
export function tenantFile({ credentials, models, quota }: TenantPlan, upstream: string): string {
  const { id } = credentials;
  return document(`Everything that ${id} may do here, and everything that is checked before it may.`, {
    tenant: id,
    serverNames: [credentials.serverName],
    certificate: { chain: `../pki/${id}/server.pem`, key: `../pki/${id}/server.key` },
    clientCa: `../pki/${id}/ca.pem`,
    trustDomain: credentials.trustDomain,
    accept: ['token', 'api-key'],
    issuers: [
      { issuer: credentials.issuer, audience: AUDIENCE, jwks: { file: `../jwks/${id}.json` }, algorithms: ['ES256'] },
    ],
    apiKeys: [{ id: credentials.apiKeyId, sha256: credentials.apiKeySha256, expires: '2099-01-01T00:00:00Z' }],
    roles: [{ name: 'scientist', methods: CALLABLE, models: [...models] }],
    bindings: [{ role: 'scientist', subjects: [credentials.subject], keys: [credentials.apiKeyId] }],
    quota: {
      tenant: { calls: quota.tenantCalls, burst: quota.tenantBurst },
      caller: { calls: quota.callerCalls, burst: quota.callerBurst },
      concurrentCalls: quota.concurrentCalls,
    },
    byteAccount: BYTE_ACCOUNT,
    upstream: { address: `http://${upstream}` },
  });
}

function document(comment: string, value: object): string {
  return `# ${comment}\n${stringify(value, { lineWidth: 120 })}`;
}
