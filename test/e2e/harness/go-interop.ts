/**
 * grpc-go's own interop client in clear text, the cases that it has, and a sidecar in front of grpc-go's server.
 */
import { type ChildExit, run } from './child.ts';
import type { InteropServer } from './interop-server.ts';
import { peerFile } from './peer-file.ts';
import { Sidecar } from './sidecar.ts';

/** Cases that every server can have. */
export const GO_CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
];
/** All 18: those of ORCA are of a service that grpc-go's server has. */
export const ALL_GO_CASES = [...GO_CASES, 'orca_per_rpc', 'orca_oob'];
export const GO_CASE_TIMEOUT_MS = 40_000;

// The ORCA cases read load reports through this balancer, and hang without it.
const SERVICE_CONFIG = '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}';
const SERVICES = ['grpc.testing.TestService', 'xds.service.orca.v3.OpenRcaService'];

/** Runs a case; its exit code is 0 when it passes. */
export function runGoCase(name: string, port: number): Promise<ChildExit> {
  const to = ['-server_host', '127.0.0.1', '-server_port', String(port), '-use_tls=false'];
  return run(
    name,
    {
      command: peerFile('bin/interop-client'),
      args: [...to, '-test_case', name, '-service_config_json', SERVICE_CONFIG],
      env: { GRPC_GO_LOG_SEVERITY_LEVEL: 'error' },
    },
    GO_CASE_TIMEOUT_MS,
  );
}

/** A sidecar whose tenant acme may call everything that grpc-go's server has. */
export function interopIngress(server: InteropServer): Promise<Sidecar> {
  return Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream: `http://127.0.0.1:${server.port}`,
        extra: { services: SERVICES, roles: [{ name: 'all', methods: SERVICES.map((service) => `${service}/*`) }] },
      },
    ],
  });
}
