/**
 * Judges: what operators have in hand. grpcurl calls with and without the right certificate; promtool reads the metrics.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChildExit, run } from './harness/child.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerFile } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';

const PROTO_DIRECTORY = fileURLToPath(new URL('../../proto/inference', import.meta.url));
/** grpcurl exits with the gRPC status added to this. */
const STATUS_EXIT = 64;

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: ['acme', 'umbrella'].map((id) => ({
      id,
      upstream: upstream.address,
      extra: { roles: [{ name: 'all', methods: ['ModelInfer', 'ServerLive'], models: ['digits'] }] },
    })),
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

function grpcurl(flags: readonly string[], method: string, body: object): Promise<ChildExit> {
  const common = ['-max-time', '10', '-connect-timeout', '5', '-d', JSON.stringify(body)];
  const proto = ['-import-path', PROTO_DIRECTORY, '-proto', 'grpc_inference_service.proto'];
  const call = [`127.0.0.1:${sidecar.port}`, `inference.GRPCInferenceService/${method}`];
  return run('grpcurl', { command: peerFile('bin/grpcurl'), args: [...flags, ...proto, ...common, ...call] }, 20_000);
}

const certificate = (tenant: string): readonly string[] => {
  const { files } = sidecar.tenant(tenant);
  return ['-cert', files.cert, '-key', files.key];
};
const towards = (tenant: string): readonly string[] => {
  const { files, pki } = sidecar.tenant(tenant);
  return ['-cacert', files.ca, '-authority', pki.serverName];
};

describe('grpcurl', () => {
  it('gets an answer with the tenant’s certificate', async () => {
    const exit = await grpcurl([...towards('acme'), ...certificate('acme')], 'ModelInfer', { model_name: 'digits' });
    expect(exit, exit.output).toMatchObject({ code: 0 });
    expect(JSON.parse(exit.output)).toMatchObject({ modelName: 'digits', modelVersion: '1' });
  });

  it('gets status 7 for a model that is in nobody’s role', async () => {
    const exit = await grpcurl([...towards('acme'), ...certificate('acme')], 'ModelInfer', { model_name: 'secret' });
    expect(exit, exit.output).toMatchObject({ code: STATUS_EXIT + 7 });
    expect(exit.output).toContain('the caller may not use this model with this method');
  });

  it('gets no connection without a certificate, or with another tenant’s', async () => {
    for (const flags of [towards('acme'), [...towards('acme'), ...certificate('umbrella')]]) {
      const seen = upstream.seen.length;
      const exit = await grpcurl(flags, 'ModelInfer', { model_name: 'digits' });
      expect(exit.code, exit.output).not.toBe(0);
      expect(exit.output).toMatch(/tls|certificate|handshake/i);
      expect(upstream.seen).toHaveLength(seen);
    }
  });
});

describe('promtool', () => {
  it('finds nothing wrong with the metrics, which count what was called', async () => {
    await grpcurl([...towards('acme'), ...certificate('acme')], 'ModelInfer', { model_name: 'digits' });
    const { status, text } = await sidecar.admin('/metrics');
    expect(status).toBe(200);
    const check = spawnSync(peerFile('bin/promtool'), ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect(check, check.stderr).toMatchObject({ status: 0, stderr: '' });
    expect(text).toMatch(
      /^bulkhead_calls_total\{tenant="acme",method="inference.GRPCInferenceService\/ModelInfer",code="OK"\} [1-9]/m,
    );
    expect(text).toMatch(/^bulkhead_denials_total\{tenant="acme",reason="model_denied"\} 1$/m);
    expect(text).toMatch(/^bulkhead_config_generation 1$/m);
  });
});
