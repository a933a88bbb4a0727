/**
 * Judge: C-core, client and server: its interop suite as Ruby has it, and checks of our own in Python. What passes without a proxy
 * passes over mTLS and through egress and ingress; C-core's interop server is judged with grpc-go's client too.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CCoreTarget,
  cCoreCases,
  runCCoreCases,
  runPythonChecks,
  startCCoreServer,
} from './harness/c-core-interop.ts';
import { EgressSidecar } from './harness/egress-sidecar.ts';
import { GO_CASES, runGoCase } from './harness/go-interop.ts';
import { startInteropServer } from './harness/interop-server.ts';
import { Sidecar } from './harness/sidecar.ts';

const PASSING = [
  'cancel_after_begin',
  'cancel_after_first_response',
  'client_streaming',
  'custom_metadata',
  'empty_stream',
  'empty_unary',
  'large_unary',
  'ping_pong',
  'server_streaming',
  'status_code_and_message',
  'timeout_on_sleeping_server',
  'unimplemented_method',
  'unimplemented_service',
];
/** Run, and failed without a proxy too: neither server refuses an uncompressed message on demand. */
const FAILING = ['client_compressed_streaming', 'client_compressed_unary'];
/** Not run: they ask Google for an account, or are all the others in one. */
const NOT_CASES_HERE = [
  'all',
  'compute_engine_creds',
  'jwt_token_creds',
  'oauth2_auth_token',
  'per_rpc_creds',
  'service_account_creds',
];
/** The checks of `peers/c_core_python.py`. */
const PYTHON_CHECKS = [
  'unary',
  'a_large_message',
  'many_at_once',
  'a_stream_in',
  'a_stream_out',
  'a_conversation',
  'an_end_before_the_requests_end',
  'gzip',
  'deflate_both_ways',
  'cancel',
  'a_deadline_passes',
  'a_deadline_is_passed_on',
  'metadata',
  'a_status',
  'an_unknown_method',
];
const SERVICES = ['grpc.testing.TestService', 'bulkhead.test.Octets'];
const INTEROP_SERVERS = ['grpc-go', 'c-core'] as const;
const SERVERS = [...INTEROP_SERVERS, 'grpcio'] as const;
type ServerName = (typeof SERVERS)[number];

const ending: (() => unknown)[] = [];
const direct = new Map<ServerName, CCoreTarget>();
const ingress = new Map<ServerName, CCoreTarget>();
const both = new Map<ServerName, CCoreTarget>();

beforeAll(async () => {
  const servers = {
    'grpc-go': startInteropServer(),
    'c-core': startCCoreServer('ruby'),
    grpcio: startCCoreServer('python'),
  };
  for (const name of SERVERS) {
    const { port, child } = await servers[name];
    ending.push(() => child.stop());
    direct.set(name, { port });
  }
  const sidecar = await Sidecar.start({
    tenants: SERVERS.map((id) => ({
      id,
      upstream: `http://127.0.0.1:${targetOf(direct, id).port}`,
      extra: { services: SERVICES, roles: [{ name: 'all', methods: SERVICES.map((service) => `${service}/*`) }] },
    })),
  });
  ending.push(() => sidecar.stop());
  await Promise.all(
    SERVERS.map(async (id) => {
      ingress.set(id, { port: sidecar.port, access: sidecar.tenant(id) });
      const egress = await EgressSidecar.start({ ingress: sidecar, tenant: id });
      ending.push(() => egress.stop());
      both.set(id, { port: egress.port });
    }),
  );
});

afterAll(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

function targetOf(targets: ReadonlyMap<ServerName, CCoreTarget>, server: ServerName): CCoreTarget {
  const target = targets.get(server);
  if (target === undefined) throw new Error(`no way to ${server}`);
  return target;
}

const CASES = [...PASSING, ...FAILING];
const EXPECTED = Object.fromEntries([
  ...PASSING.map((name) => [name, 'PASS']),
  ...FAILING.map((name) => [name, 'FAIL AssertionError: CompressedRequest probe failed']),
]);

describe('C-core interop', () => {
  it('has these cases, and no others', async () => {
    expect([...(await cCoreCases())].sort()).toEqual([...CASES, ...NOT_CASES_HERE].sort());
  });

  describe.each(INTEROP_SERVERS)('with the server of %s', (server) => {
    it('passes 13 cases without a proxy', async () => {
      expect(await runCCoreCases(targetOf(direct, server), CASES)).toEqual(EXPECTED);
    });

    it('passes the same with a client certificate through the ingress', async () => {
      expect(await runCCoreCases(targetOf(ingress, server), CASES)).toEqual(EXPECTED);
    });

    it('passes the same in clear text through egress and ingress', async () => {
      expect(await runCCoreCases(targetOf(both, server), CASES)).toEqual(EXPECTED);
    });
  });
});

const WAYS = Object.entries({
  'without a proxy': direct,
  'with a client certificate through the ingress': ingress,
  'in clear text through egress and ingress': both,
});

describe('C-core in Python', () => {
  it.each(WAYS)('passes every check %s', async (_way, targets) => {
    const outcomes = await runPythonChecks(targetOf(targets, 'grpcio'));
    expect(outcomes).toEqual(Object.fromEntries(PYTHON_CHECKS.map((name) => [name, 'ok'])));
  });
});

describe('grpc-go’s client and C-core’s server', () => {
  it.each(WAYS.filter(([, targets]) => targets !== ingress))(
    'pass all cases that both have %s',
    async (_way, targets) => {
      const { port } = targetOf(targets, 'c-core');
      const failed: string[] = [];
      for (const name of GO_CASES) {
        const exit = await runGoCase(name, port);
        if (exit.code !== 0) failed.push(`${name}: ${exit.output}`);
      }
      expect(failed).toEqual([]);
    },
  );
});
