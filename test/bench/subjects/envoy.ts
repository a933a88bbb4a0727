import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../e2e/harness/free-port.ts';
import { peerFile } from '../../e2e/harness/peer-file.ts';
import { type Ground, pinned, type Subject } from './subject.ts';

const TYPE = 'type.googleapis.com/envoy';
const MANY = 10_000_000;

/** A message of Envoy's API with its type. */
export const typed = (type: string, fields: object): object => ({ '@type': `${TYPE}.${type}`, ...fields });

/** Envoy as a relay: TLS in, HTTP/2 out, no log, one worker thread. */
export const envoyRelay: Subject = {
  name: 'envoy',
  features: 'relay',
  tls: true,
  warmsUp: false,
  start: (ground) => start(ground, 'envoy-relay', { tls: {}, manager: {}, filters: [] }),
};

/**
 * Envoy with what the sidecar does, as far as it goes: mTLS, JWT with its cache, RBAC on certificate and claim, a local rate
 * limit per tenant, every call traced over OTLP, a JSON line per call. It cannot read the model out of the message.
 */
export const envoyEverything: Subject = {
  name: 'envoy',
  features: 'everything',
  tls: true,
  warmsUp: false,
  start: (ground) =>
    start(ground, 'envoy-everything', {
      tls: {
        require_client_certificate: true,
        common_tls_context: { validation_context: { trusted_ca: { filename: join(ground.directory, 'ca.pem') } } },
      },
      manager: { forward_client_cert_details: 'SANITIZE_SET', tracing, access_log: [accessLog(ground)] },
      filters: [jwt(ground), rbac, rateLimit],
    }),
};

interface Extras {
  readonly tls: { readonly common_tls_context?: object } & Readonly<Record<string, unknown>>;
  readonly manager: object;
  readonly filters: readonly object[];
}

async function start(ground: Ground, name: string, extras: Extras): ReturnType<Subject['start']> {
  const port = await freePort();
  const file = join(ground.directory, `${name}.json`);
  writeFileSync(file, JSON.stringify(bootstrap(ground, port, extras)));
  const args = ['-c', file, '--concurrency', '1', '-l', 'error', '--use-dynamic-base-id'];
  return pinned({ name, command: peerFile('bin/envoy'), args, port });
}

function bootstrap({ directory, backendPort, sinkGrpcPort }: Ground, port: number, extras: Extras): object {
  const certificate = {
    certificate_chain: { filename: join(directory, 'server.pem') },
    private_key: { filename: join(directory, 'server.key') },
  };
  const downstreamTls = typed('extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    ...extras.tls,
    common_tls_context: { alpn_protocols: ['h2'], tls_certificates: [certificate], ...extras.tls.common_tls_context },
  });
  const everyPath = { match: { prefix: '/' }, route: { cluster: 'backend', timeout: '0s' } };
  const router = typed('extensions.filters.http.router.v3.Router', {});
  const manager = typed('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'bench',
    codec_type: 'HTTP2',
    http2_protocol_options: { max_concurrent_streams: 1000 },
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [everyPath] }] },
    ...extras.manager,
    http_filters: [...extras.filters, { name: 'envoy.filters.http.router', typed_config: router }],
  });
  const chain = {
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: downstreamTls },
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
  };
  return {
    static_resources: {
      listeners: [{ name: 'tenants', address: loopback(port), filter_chains: [chain] }],
      clusters: [cluster('backend', backendPort), cluster('otlp', sinkGrpcPort)],
    },
  };
}

export const loopback = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });

export function cluster(name: string, port: number): object {
  const options = typed('extensions.upstreams.http.v3.HttpProtocolOptions', {
    explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 1000 } },
  });
  return {
    name,
    type: 'STATIC',
    typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': options },
    circuit_breakers: { thresholds: [{ max_requests: 100_000, max_pending_requests: 100_000 }] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
    },
  };
}

const tracing = {
  random_sampling: { value: 100 },
  provider: {
    name: 'envoy.tracers.opentelemetry',
    typed_config: typed('config.trace.v3.OpenTelemetryConfig', {
      grpc_service: { envoy_grpc: { cluster_name: 'otlp' }, timeout: '1s' },
      service_name: 'envoy',
    }),
  },
};

const accessLog = ({ directory }: Ground): object => ({
  name: 'envoy.access_loggers.file',
  typed_config: typed('extensions.access_loggers.file.v3.FileAccessLog', {
    path: join(directory, 'envoy-access.log'),
    log_format: {
      json_format: {
        time: '%START_TIME%',
        method: '%REQ(:PATH)%',
        status: '%GRPC_STATUS%',
        peer: '%DOWNSTREAM_PEER_URI_SAN%',
        subject: '%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%',
        duration: '%DURATION%',
        received: '%BYTES_RECEIVED%',
        sent: '%BYTES_SENT%',
        flags: '%RESPONSE_FLAGS%',
      },
    },
  }),
});

const jwt = ({ directory }: Ground): object => ({
  name: 'jwt',
  typed_config: typed('extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: {
      idp: {
        issuer: 'https://idp.acme.example',
        audiences: ['ml'],
        local_jwks: { filename: join(directory, 'jwks.json') },
        forward: false,
        payload_in_metadata: 'payload',
        jwt_cache_config: { jwt_cache_size: 1000 },
      },
    },
    rules: [{ match: { prefix: '/' }, requires: { provider_name: 'idp' } }],
  }),
});

const TENANT_CLAIM = [{ key: 'payload' }, { key: 'tenant' }];

const rbac = {
  name: 'rbac',
  typed_config: typed('extensions.filters.http.rbac.v3.RBAC', {
    rules: {
      action: 'ALLOW',
      policies: {
        predict: {
          permissions: [
            { url_path: { path: { exact: '/inference.GRPCInferenceService/ModelInfer' } } },
            { url_path: { path: { exact: '/inference.GRPCInferenceService/ModelReady' } } },
          ],
          principals: [
            {
              and_ids: {
                ids: [
                  { authenticated: { principal_name: { exact: 'spiffe://acme.example/client' } } },
                  {
                    metadata: {
                      filter: 'envoy.filters.http.jwt_authn',
                      path: TENANT_CLAIM,
                      value: { string_match: { exact: 'acme' } },
                    },
                  },
                ],
              },
            },
          ],
        },
      },
    },
  }),
};

const bucket = { max_tokens: MANY, tokens_per_fill: MANY, fill_interval: '1s' };

const rateLimit = {
  name: 'rate-limit',
  typed_config: typed('extensions.filters.http.local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'rate_limit',
    token_bucket: bucket,
    filter_enabled: { default_value: { numerator: 100 } },
    filter_enforced: { default_value: { numerator: 100 } },
    rate_limits: [
      {
        actions: [
          {
            metadata: {
              descriptor_key: 'tenant',
              metadata_key: { key: 'envoy.filters.http.jwt_authn', path: TENANT_CLAIM },
            },
          },
        ],
      },
    ],
    descriptors: [{ entries: [{ key: 'tenant', value: 'acme' }], token_bucket: bucket }],
  }),
};
