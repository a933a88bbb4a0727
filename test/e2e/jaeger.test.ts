/**
 * Judge: Jaeger's query API. A call's trace is found by service and by tenant, whole, and only under its own tenant.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newClientTrace } from '../../src/demo/inference-client.ts';
import { ATTRIBUTE } from '../../src/telemetry/names.ts';
import { Jaeger } from './harness/jaeger.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

let upstream: ModelUpstream;
let jaeger: Jaeger;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  jaeger = await Jaeger.start();
  const tenant = (id: string) => ({
    id,
    upstream: upstream.address,
    extra: { roles: [{ name: 'all', methods: ['ModelInfer'], models: [`${id}-*`] }] },
  });
  sidecar = await Sidecar.start({
    tenants: [tenant('acme'), tenant('umbrella')],
    extra: {
      telemetry: {
        serviceName: 'models-gateway',
        otlp: { endpoint: `http://127.0.0.1:${jaeger.otlpHttpPort}`, protocol: 'http/protobuf' },
      },
    },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  await jaeger?.stop();
  upstream?.stop();
});

describe('Jaeger behind the sidecar', () => {
  it('finds a call by service and tenant, with the upstream span below the server span', async () => {
    const client = tenantClient(sidecar, 'acme');
    const own = newClientTrace();
    expect(await client.infer({ modelName: 'acme-digits', inputs: [] }, own)).toMatchObject({ code: 'OK' });
    client.close();
    const [trace] = await until(
      'the trace',
      async () => {
        const found = await jaeger.find('models-gateway', {
          [ATTRIBUTE.tenantId]: 'acme',
          [ATTRIBUTE.modelName]: 'acme-digits',
        });
        return found.length > 0 ? found : undefined;
      },
      30_000,
    );
    const kind = (wanted: string) =>
      trace?.spans.filter((span) => span.tags.some((tag) => tag.key === 'span.kind' && tag.value === wanted)) ?? [];
    expect(kind('server')).toHaveLength(1);
    expect(kind('client')).toHaveLength(1);
    expect(kind('server')[0]?.operationName).toBe('inference.GRPCInferenceService/ModelInfer');
    expect(kind('client')[0]?.references).toMatchObject([{ refType: 'CHILD_OF', spanID: kind('server')[0]?.spanID }]);
    // What the client sent as its trace is a link of ours, never our parent: an untrusted tenant joins nobody's trace.
    expect(trace?.traceID).not.toBe(own.traceId);
    expect(kind('server')[0]?.references).toMatchObject([{ refType: 'FOLLOWS_FROM', traceID: own.traceId }]);
    expect(upstream.seen.at(-1)?.metadata.get('traceparent')).toEqual([
      `00-${trace?.traceID}-${kind('client')[0]?.spanID}-01`,
    ]);
  });

  it('finds a refused call by its decision and reason', async () => {
    const client = tenantClient(sidecar, 'umbrella');
    expect(await client.infer({ modelName: 'acme-digits', inputs: [] })).toMatchObject({ code: 'PERMISSION_DENIED' });
    client.close();
    const found = await until(
      'the trace',
      async () => {
        const traces = await jaeger.find('models-gateway', {
          [ATTRIBUTE.tenantId]: 'umbrella',
          [ATTRIBUTE.decision]: 'deny',
          [ATTRIBUTE.decisionReason]: 'model_denied',
        });
        return traces.length > 0 ? traces : undefined;
      },
      30_000,
    );
    expect(found).toHaveLength(1);
  });

  it('finds nothing under a tenant that made no call', async () => {
    expect(await jaeger.find('models-gateway', { [ATTRIBUTE.tenantId]: 'nobody' })).toEqual([]);
  });
});
