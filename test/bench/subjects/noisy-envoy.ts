/**
 * Envoy for two tenants: each by its server name, with its own certificate, CA, issuer and model server, and a local rate limit of its own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerFile } from '../../e2e/harness/peer-file.ts';
import { noisyIssuer } from '../noisy-attacks.ts';
import { type NoisyGround, type NoisyTenant, TENANT_CALLS_PER_SECOND } from '../noisy-ground.ts';
import { cluster, loopback, typed } from './envoy.ts';
import { pinned, type Running } from './subject.ts';

export function noisyEnvoy({ directory, attacker, neighbour }: NoisyGround, port: number): Promise<Running> {
  const tenants = [attacker, neighbour];
  const inspector = {
    name: 'envoy.filters.listener.tls_inspector',
    typed_config: typed('extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
  };
  const listener = {
    name: 'tenants',
    address: loopback(port),
    listener_filters: [inspector],
    filter_chains: tenants.map((tenant) => chainOf(tenant, directory)),
  };
  const clusters = tenants.map(({ id, backendPort }) => cluster(id, backendPort));
  const file = join(directory, 'envoy.json');
  writeFileSync(file, JSON.stringify({ static_resources: { listeners: [listener], clusters } }));
  const args = ['-c', file, '--concurrency', '1', '-l', 'error', '--use-dynamic-base-id'];
  return pinned({ name: 'envoy', command: peerFile('bin/envoy'), args, port });
}

function chainOf(tenant: NoisyTenant, directory: string): object {
  const tls = typed('extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: true,
    common_tls_context: {
      alpn_protocols: ['h2'],
      tls_certificates: [{ certificate_chain: { filename: tenant.chain }, private_key: { filename: tenant.key } }],
      validation_context: { trusted_ca: { filename: tenant.ca } },
    },
  });
  const route = { match: { prefix: '/' }, route: { cluster: tenant.id, timeout: '0s' } };
  const router = typed('extensions.filters.http.router.v3.Router', {});
  const manager = typed('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: tenant.id,
    codec_type: 'HTTP2',
    // As the sidecar has it by default.
    http2_protocol_options: { max_concurrent_streams: 100 },
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    access_log: [
      {
        name: 'envoy.access_loggers.file',
        typed_config: typed('extensions.access_loggers.file.v3.FileAccessLog', {
          path: join(directory, 'envoy-access.log'),
        }),
      },
    ],
    http_filters: [rateLimit, jwt(tenant), { name: 'envoy.filters.http.router', typed_config: router }],
  });
  return {
    filter_chain_match: { server_names: [tenant.serverName] },
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: tls },
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
  };
}

/** Each chain has its own: one bucket for each tenant. */
const rateLimit = {
  name: 'rate-limit',
  typed_config: typed('extensions.filters.http.local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'rate_limit',
    token_bucket: {
      max_tokens: TENANT_CALLS_PER_SECOND,
      tokens_per_fill: TENANT_CALLS_PER_SECOND / 10,
      fill_interval: '0.1s',
    },
    filter_enabled: { default_value: { numerator: 100 } },
    filter_enforced: { default_value: { numerator: 100 } },
  }),
};

/** A token is not required; one that is there must be good. */
const jwt = ({ id, jwks }: NoisyTenant): object => ({
  name: 'jwt',
  typed_config: typed('extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: {
      idp: {
        issuer: noisyIssuer(id),
        audiences: ['ml'],
        local_jwks: { filename: jwks },
        jwt_cache_config: { jwt_cache_size: 1000 },
      },
    },
    rules: [
      {
        match: { prefix: '/' },
        requires: { requires_any: { requirements: [{ provider_name: 'idp' }, { allow_missing: {} }] } },
      },
    ],
  }),
});
