/**
 * Judge: grpc-go's interop suite, all 18 cases, once with a client that presents a certificate itself and once with grpc-go's
 * own client through the byte tunnel.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BytesTunnel } from './harness/byte-tunnel.ts';
import { run } from './harness/child.ts';
import { type InteropServer, startInteropServer } from './harness/interop-server.ts';
import { peerFile } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';

const CASES = [
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
  'orca_per_rpc',
  'orca_oob',
  'rpc_soak',
  'channel_soak',
];
const CASE_TIMEOUT_MS = 40_000;
// The ORCA cases read load reports through this balancer, and hang without it.
const SERVICE_CONFIG = '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}';
const SERVICES = ['grpc.testing.TestService', 'xds.service.orca.v3.OpenRcaService'];

let server: InteropServer;
let sidecar: Sidecar;
let tunnel: BytesTunnel;

beforeAll(async () => {
  server = await startInteropServer();
  sidecar = await Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream: `http://127.0.0.1:${server.port}`,
        extra: { services: SERVICES, roles: [{ name: 'all', methods: SERVICES.map((service) => `${service}/*`) }] },
      },
    ],
  });
  tunnel = await sidecar.tunnel('acme');
});

afterAll(async () => {
  await sidecar?.stop();
  await server?.child.stop();
});

describe('grpc-go interop through the sidecar', () => {
  it.each(CASES)('%s passes over mTLS', async (name) => {
    const { pki, files } = sidecar.tenant('acme');
    const args = ['-addr', `127.0.0.1:${sidecar.port}`, '-servername', pki.serverName, '-ca', files.ca];
    const exit = await run(
      name,
      {
        command: peerFile('bin/interop'),
        args: ['client', ...args, '-cert', files.cert, '-key', files.key, '-case', name],
      },
      CASE_TIMEOUT_MS,
    );
    expect(exit, exit.output).toMatchObject({ code: 0, output: expect.stringContaining(`PASS ${name}`) });
  });

  it.each(CASES)('%s passes with grpc-go’s own client through the byte tunnel', async (name) => {
    const args = ['-server_host', '127.0.0.1', '-server_port', `${tunnel.port}`, '-use_tls=false', '-test_case', name];
    const exit = await run(
      name,
      {
        command: peerFile('bin/interop-client'),
        args: [...args, '-service_config_json', SERVICE_CONFIG],
        env: { GRPC_GO_LOG_SEVERITY_LEVEL: 'error' },
      },
      CASE_TIMEOUT_MS,
    );
    expect(exit.code, exit.output).toBe(0);
  });
});
