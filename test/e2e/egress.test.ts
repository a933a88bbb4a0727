/**
 * Both roles in one chain: client → egress → mTLS → ingress → model server. The clients know nothing of TLS; one of them is grpc-go's
 * own interop client.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { CallRecord } from '../../src/audit/record.ts';
import { createCa, issueClient } from '../../src/identity/issue.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { accepts, Child } from './harness/child.ts';
import { EgressSidecar } from './harness/egress-sidecar.ts';
import { freePort } from './harness/free-port.ts';
import { ALL_GO_CASES, interopIngress, runGoCase } from './harness/go-interop.ts';
import { type InteropServer, startInteropServer } from './harness/interop-server.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerSource } from './harness/peer-file.ts';
import { PlainClient } from './harness/plain-client.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { inferMessageHead, RAW_INPUT_CONTENTS } from './harness/tensor-message.ts';
import { until } from './harness/until.ts';
import { killThread } from './harness/worker-inspector.ts';

const MIB = 1024 ** 2;

/** What a test started, ended in reverse when its part is over. */
const ending: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function egressOf(ingress: Sidecar, setup: Partial<Parameters<typeof EgressSidecar.start>[0]> = {}) {
  const egress = await EgressSidecar.start({ ingress, tenant: 'acme', ...setup });
  ending.push(() => egress.stop());
  return egress;
}

function clientOf(egress: EgressSidecar): PlainClient {
  const client = new PlainClient(egress.port);
  ending.push(() => client.close());
  return client;
}

async function calls(sidecar: { readonly auditDirectory: string }): Promise<readonly CallRecord[]> {
  return (await auditRecords(sidecar)).filter((record) => record.type === 'call');
}

describe('grpc-go interop through egress and ingress', () => {
  let server: InteropServer;
  let egress: EgressSidecar;

  beforeAll(async () => {
    server = await startInteropServer();
    ending.push(() => server.child.stop());
    const ingress = await interopIngress(server);
    ending.push(() => ingress.stop());
    egress = await egressOf(ingress);
  });

  it.each(ALL_GO_CASES)('%s passes with grpc-go’s own client, in clear text', async (name) => {
    const exit = await runGoCase(name, egress.port);
    expect(exit.code, exit.output).toBe(0);
  });
});

describe('calls of a model', () => {
  let upstream: ModelUpstream;
  let ingress: Sidecar;
  let egress: EgressSidecar;

  beforeAll(async () => {
    upstream = await ModelUpstream.start();
    ending.push(() => upstream.stop());
    ingress = await Sidecar.start({
      tenants: [
        { id: 'acme', upstream: upstream.address },
        {
          id: 'frugal',
          upstream: upstream.address,
          extra: {
            quota: { tenant: { calls: '1/h', burst: 1 } },
            roles: [{ name: 'all', methods: ['ModelInfer'], models: ['digits'] }],
          },
        },
      ],
    });
    ending.push(() => ingress.stop());
    egress = await egressOf(ingress);
  });

  it('are one trace, one record here and one there', async () => {
    const outcome = await clientOf(egress).infer({ modelName: 'traced', inputs: [] });
    expect(outcome).toMatchObject({ code: 'OK' });
    const into = await auditRecord(ingress, 'the call', (one) => one.type === 'call' && one.model === 'traced');
    const traceId = into.type === 'call' ? into.clientTrace?.traceId : undefined;
    const out = await auditRecord(egress, 'the call', (one) => one.type === 'call' && one.traceId === traceId);
    expect(out).toMatchObject({ tenant: 'acme', caller: `egress:127.0.0.1:${egress.port}`, outcome: 'ok' });
    expect(into).toMatchObject({ tenant: 'acme', caller: `cert:${ingress.tenant('acme').pki.spiffeId}` });
    const label = 'tenant="acme",method="inference.GRPCInferenceService/ModelInfer",code="OK"';
    expect(await egress.metric(`bulkhead_calls_total{${label}}`)).toBeGreaterThan(0);
  });

  it('that the ingress denies are denied with its status, details and pushback', async () => {
    const client = clientOf(await egressOf(ingress, { tenant: 'frugal' }));
    const forbidden = await client.infer({ modelName: 'other', inputs: [] });
    expect(forbidden).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'the caller may not use this model with this method',
    });
    expect(String(forbidden.trailers['grpc-status-details-bin'])).toContain('MODEL_ACCESS_DENIED');
    const limited = await client.infer({ modelName: 'digits', inputs: [] });
    expect(limited).toMatchObject({ code: 'RESOURCE_EXHAUSTED', message: 'the rate limit is reached' });
    expect(String(limited.trailers['grpc-status-details-bin'])).toContain('RATE_LIMITED');
    expect(Number(limited.trailers['grpc-retry-pushback-ms'])).toBeGreaterThan(60_000);
  });

  it('to an ingress of another CA are UNAVAILABLE, and the record says why', async () => {
    const stranger = await egressOf(ingress);
    stranger.replace('ca.pem', createCa({ commonName: 'another', days: 30 }).certPem);
    await until(
      'the reload',
      async () => ((await stranger.metric('bulkhead_config_generation')) === 2 ? true : undefined),
      10_000,
    );
    const outcome = await clientOf(stranger).infer({ modelName: 'digits', inputs: [] });
    expect(outcome).toMatchObject({ code: 'UNAVAILABLE', message: 'the model server is not available' });
    const record = await auditRecord(stranger, 'the call', (one) => one.type === 'call');
    expect(record).toMatchObject({
      outcome: 'failed',
      reason: 'upstream_unavailable',
      detail: expect.stringContaining('unable to verify the first certificate'),
    });
  });

  it('go on while the certificate is renewed, with not one call failed', async () => {
    const { pki } = ingress.tenant('acme');
    const sinceMicros = Date.now() * 1_000;
    const load = new SteadyLoad([clientOf(egress), clientOf(egress)], 16, 'rotated', 10);
    const more = async (): Promise<void> => {
      const at = load.calls.length;
      await until('load', () => (load.calls.length > at + 200 ? true : undefined), 20_000);
    };
    await more();
    for (const name of ['second', 'third']) {
      const spiffeId = `spiffe://${pki.trustDomain}/${name}`;
      const renewed = issueClient(pki.ca, { commonName: name, spiffeId, days: 30 });
      // The two files change one after the other; what lies between is refused, and the last good pair stays.
      egress.replace('client.pem', renewed.certPem);
      egress.replace('client.key', renewed.keyPem);
      const isItsCall = (one: { readonly type: string }): boolean =>
        one.type === 'call' && 'caller' in one && one.caller === `cert:${spiffeId}`;
      await auditRecord(ingress, `a call of ${name}`, isItsCall);
      await more();
    }
    const made = await load.stop();
    expect(load.failed).toEqual([]);
    const recorded = await until(
      'all records',
      async () => {
        const all = (await calls(egress)).filter(({ startedAt }) => startedAt >= sinceMicros);
        return all.length >= made.length ? all : undefined;
      },
      10_000,
    );
    expect(recorded).toHaveLength(made.length);
    expect(recorded.filter(({ outcome, grpcStatus }) => outcome !== 'ok' || grpcStatus !== 0)).toEqual([]);
    expect(new Set(recorded.map(({ spanId }) => spanId)).size).toBe(made.length);
  });

  it('are 200 streams at once on one connection, each with its own answer', async () => {
    const client = clientOf(egress);
    const streams = Array.from({ length: 200 }, () => client.stream());
    const answers = await Promise.all(
      streams.map(
        (stream, index) =>
          new Promise<boolean>((resolve, reject) => {
            stream.once('error', reject);
            stream.once('data', (bytes: Buffer) => resolve(bytes.includes(`model-${index}-`)));
            stream.write({ modelName: `model-${index}-`, inputs: [] });
          }),
      ),
    );
    expect(answers.every((own) => own)).toBe(true);
    expect(
      (await egress.metric('bulkhead_calls_in_progress{worker="worker-0"}')) +
        (await egress.metric('bulkhead_calls_in_progress{worker="worker-1"}')),
    ).toBe(200);
    const ends = streams.map((stream) => new Promise((resolve) => stream.once('status', ({ code }) => resolve(code))));
    for (const stream of streams) stream.end();
    expect(new Set(await Promise.all(ends))).toEqual(new Set([0]));
  });

  it('go out of an ingress too, once its main file says so, and no more when it does not', async () => {
    const port = await freePort();
    const { pki, files } = ingress.tenant('acme');
    const mainFile = join(ingress.directory, 'bulkhead.yaml');
    const before = readFileSync(mainFile, 'utf8');
    const clientCertificate = { chain: files.cert, key: files.key };
    const upstreamOf = { address: `https://127.0.0.1:${ingress.port}`, ca: files.ca, serverName: pki.serverName };
    const listener = { listen: `127.0.0.1:${port}`, tenant: 'acme', upstream: { ...upstreamOf, clientCertificate } };
    const load = new SteadyLoad([clientOf(egress)], 8, 'meanwhile', 10);
    writeFileSync(mainFile, `${before}${stringify({ egress: [listener] })}`);
    await until('it listens', async () => ((await accepts(port)) ? true : undefined), 10_000);
    const client = new PlainClient(port);
    ending.push(() => client.close());
    expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    writeFileSync(mainFile, before);
    await until('it has left', async () => ((await accepts(port)) ? undefined : true), 10_000);
    await load.stop();
    expect(load.failed).toEqual([]);
  });

  it('are made again over both kinds of listener after their thread has died', async () => {
    const inspectorPort = await freePort();
    const mortal = await egressOf(ingress, {
      unixSocket: 'acme.sock',
      nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
      // One thread, which has both: that it dies is the death of both.
      extra: { workers: 1 },
    });
    const targets = [mortal.port, `unix:${join(mortal.directory, 'acme.sock')}`];
    const served = async (): Promise<true | undefined> => {
      const clients = targets.map((target) => new PlainClient(target));
      const outcomes = await Promise.all(clients.map((client) => client.infer({ modelName: 'digits', inputs: [] })));
      for (const client of clients) client.close();
      return outcomes.every(({ code }) => code === 'OK') ? true : undefined;
    };
    expect(await served()).toBe(true);
    await killThread(inspectorPort, /worker\.ts/);
    await auditRecord(mortal, 'the death', (one) => one.type === 'event' && one.event === 'worker_died');
    await until('calls on both listeners', served, 10_000);
  });

  it('that run when it is told to stop run to their end', async () => {
    const leaving = await egressOf(ingress);
    const client = clientOf(leaving);
    const running = client.infer({ modelName: 'slow', id: 'delay:1500', inputs: [] });
    await until('the call is at the model', () => upstream.seen.find(({ model }) => model === 'slow'), 5_000);
    const exit = leaving.end();
    expect(await running).toMatchObject({ code: 'OK' });
    expect((await exit).code).toBe(0);
    expect(await calls(leaving)).toMatchObject([{ outcome: 'ok' }]);
  });
});

describe('a tensor of 100 MB', () => {
  const TENSOR_BYTES = 100 * MIB;
  const MAX_RISE_BYTES = 32 * MIB;
  const CHUNK_BYTES = 256 * 1024;
  let ingress: Sidecar;
  let egress: EgressSidecar;

  beforeAll(async () => {
    const sink = await Child.spawn('the sink', { command: process.execPath, args: [peerSource('tensor-sink.ts')] });
    ending.push(() => sink.stop());
    const listening = /^port (\d+)$/m;
    await sink.until('listening', () => listening.test(sink.output));
    ingress = await Sidecar.start({
      tenants: [{ id: 'acme', upstream: `http://127.0.0.1:${listening.exec(sink.output)?.[1]}` }],
      extra: { workers: 1 },
    });
    ending.push(() => ingress.stop());
    egress = await egressOf(ingress, { extra: { workers: 1 } });
  });

  it('passes both ways whole, with the memory of both sidecars bounded', async () => {
    // One smaller call first: code that is compiled and pools that are filled once are not the tensor's.
    expect(await transfer(egress.port, 4 * MIB)).toMatchObject({ status: '0' });
    const sidecars = [egress.child, ingress.child];
    const before = sidecars.map((child) => child.residentBytes());
    const peaks = [...before];
    const timer = setInterval(() => {
      for (const [index, child] of sidecars.entries())
        peaks[index] = Math.max(peaks[index] ?? 0, child.residentBytes());
    }, 20);
    const result = await transfer(egress.port, TENSOR_BYTES).finally(() => clearInterval(timer));
    const risen = peaks.map((peak, index) => peak - (before[index] ?? 0));
    process.stdout.write(
      `100 MB both ways: egress and ingress +${risen.map((bytes) => (bytes / MIB).toFixed(1)).join(', +')} MiB\n`,
    );
    const sent = inferMessageHead('sink', TENSOR_BYTES, RAW_INPUT_CONTENTS).length + TENSOR_BYTES;
    expect(result).toMatchObject({ status: '0', sinkReceived: sent });
    expect(result.received).toBeGreaterThan(TENSOR_BYTES);
    expect(Math.max(...risen)).toBeLessThan(MAX_RISE_BYTES);
  });

  /** Sends a tensor and gets one of the same size. */
  async function transfer(port: number, bytes: number) {
    const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: MIB } });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
      'x-sink-answer-bytes': `${bytes}`,
    });
    let trailers: Readonly<Record<string, unknown>> = {};
    stream.on('trailers', (block) => {
      trailers = block;
    });
    let received = 0;
    stream.on('data', (data: Buffer) => {
      received += data.length;
    });
    const closed = new Promise((resolve) => stream.once('close', resolve));
    await send(stream, bytes);
    await closed;
    session.close();
    return { status: String(trailers['grpc-status']), sinkReceived: Number(trailers['x-sink-received']), received };
  }

  async function send(stream: ClientHttp2Stream, bytes: number): Promise<void> {
    const chunk = Buffer.alloc(CHUNK_BYTES, 3);
    // Each wait adds a listener for the end.
    stream.setMaxListeners(0);
    stream.write(inferMessageHead('sink', bytes, RAW_INPUT_CONTENTS));
    for (let left = bytes; left > 0 && !stream.destroyed; left -= CHUNK_BYTES) {
      if (!stream.write(left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk))
        await new Promise<void>((resolve) => stream.once('drain', resolve).once('close', resolve));
    }
    stream.end();
  }
});
