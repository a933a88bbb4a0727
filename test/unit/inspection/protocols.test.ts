import { describe, expect, it } from 'vitest';
import { MethodTable } from '../../../src/inspection/method-table.ts';
import { PROTOCOL_NAMES, PROTOCOLS, protocolsOf, servicesOf } from '../../../src/inspection/protocols.ts';
import type { PlanNode } from '../../../src/protobuf/field-plan.ts';
import { differences } from '../../fakes/plan-of-type.ts';
import { SERVICES } from '../../fakes/protocol-protos.ts';

/** `slot name` of all that a plan captures, wherever it stands. */
function captures(node: PlanNode, seen = new Set<PlanNode>()): readonly string[] {
  if (seen.has(node)) return [];
  seen.add(node);
  return node.fields.flatMap((field) => {
    if (field.kind === 'message') return captures(field.node, seen);
    return field.kind === 'captured' || field.kind === 'integer' ? [`${field.slot} ${field.name}`] : [];
  });
}

describe('the protocols', () => {
  it('have services that no other has, but for the one that Triton and KServe give different numbers', () => {
    const shared = 'inference.GRPCInferenceService';
    expect(SERVICES).toHaveLength(9);
    for (const { protocol, service } of SERVICES)
      expect(protocolsOf(service)).toEqual(service === shared ? ['triton', 'kserve'] : [protocol]);
    expect(protocolsOf('grpc.health.v1.Health')).toEqual([]);
  });

  it.each(SERVICES)(
    '$service of $protocol has a row for every method of its proto, and no other',
    ({ rows, methods }) => {
      expect([...rows.keys()].sort()).toEqual([...methods.keys()].sort());
    },
  );

  it.each(SERVICES)('$service of $protocol knows which requests are streams', ({ rows, methods }) => {
    for (const [name, row] of rows) {
      const kind = methods.get(name)?.methodKind;
      const stream = kind === 'client_streaming' || kind === 'bidi_streaming';
      expect({ name, stream: row.requestStreaming }).toEqual({ name, stream });
    }
  });

  it.each(SERVICES)(
    '$service of $protocol plans every field of what it reads as the proto has it',
    ({ rows, methods }) => {
      for (const [name, row] of rows) {
        const type = methods.get(name)?.input;
        if (row.plan === undefined || type === undefined) continue;
        expect({ name, differences: differences(row.plan.root, type) }).toEqual({ name, differences: [] });
      }
    },
  );

  it('notices a plan that is not the type’s', () => {
    const predict = SERVICES.find(({ service }) => service.endsWith('PredictionService'));
    const plan = predict?.rows.get('Classify')?.plan;
    const type = predict?.methods.get('Predict')?.input;
    if (plan === undefined || type === undefined) throw new Error('no such method');
    expect(differences(plan.root, type).length).toBeGreaterThan(3);
  });

  it('read the model where each request has it', () => {
    const read = SERVICES.filter(({ protocol }) => protocol !== 'triton').flatMap(({ rows }) =>
      [...rows].map(([name, { plan, servedModel }]) => [
        name,
        servedModel ? ['of the server'] : plan === undefined ? [] : captures(plan.root),
      ]),
    );
    const spec = ['0 model_spec.name', '1 model_spec.version', '1 model_spec.version_label'];
    const named = ['0 model_name', '1 model_version'];
    expect(Object.fromEntries(read)).toEqual({
      ...{ Classify: spec, Regress: spec, Predict: spec, MultiInference: spec, GetModelMetadata: spec },
      ...{ GetModelStatus: spec, HandleReloadConfigRequest: [], SessionRun: spec },
      ...{ ServerLive: [], ServerReady: [], ServerMetadata: [], ModelInfer: named },
      ...{ ModelReady: ['0 name', '1 version'], ModelMetadata: ['0 name', '1 version'] },
      ...{ RepositoryModelLoad: ['0 model_name'], RepositoryModelUnload: ['0 model_name'] },
      ...{ Ping: [], Predictions: named, StreamPredictions: named, StreamPredictions2: named },
      ...{ DescribeModel: named, ListModels: [], RegisterModel: ['0 model_name'] },
      ...{ ScaleWorker: named, SetDefault: named, UnregisterModel: named },
      ...{ Generate: ['of the server'], Embed: ['of the server'] },
      ...{ GetModelInfo: ['of the server'], GetTokenizer: ['of the server'] },
      ...{ HealthCheck: [], Abort: [], FlushCache: [], StartProfile: [], StopProfile: [] },
      ...{ GetServerInfo: [], GetLoads: [], SubscribeKvEvents: [] },
    });
  });

  it('say of what reaches beyond a model that it is sensitive', () => {
    const sensitive = SERVICES.filter(({ protocol }) => protocol !== 'triton').flatMap(({ rows }) =>
      [...rows].filter(([, row]) => row.sensitive).map(([name]) => name),
    );
    expect(sensitive.sort()).toEqual(
      [
        ...['RepositoryModelLoad', 'RepositoryModelUnload', 'HandleReloadConfigRequest', 'SessionRun'],
        ...['ListModels', 'RegisterModel', 'ScaleWorker', 'SetDefault', 'UnregisterModel'],
        ...['Abort', 'FlushCache', 'StartProfile', 'StopProfile', 'GetServerInfo', 'GetLoads', 'SubscribeKvEvents'],
      ].sort(),
    );
  });
});

describe('a table of a protocol', () => {
  it.each(PROTOCOL_NAMES)('%s finds its methods and none of another’s', (protocol) => {
    const table = new MethodTable([], { services: servicesOf([protocol]), model: 'm' });
    for (const each of SERVICES)
      for (const method of each.methods.keys())
        expect(table.find(`/${each.service}/${method}`) !== undefined).toBe(
          PROTOCOLS[protocol].get(each.service)?.has(method) === true,
        );
  });

  it.each(PROTOCOL_NAMES)('%s is never passed through unread, also where it is not served', (protocol) => {
    for (const service of PROTOCOLS[protocol].keys()) {
      const table = new MethodTable([service], { services: new Map(), model: '' });
      expect(table.find(`/${service}/Anything`)).toBeUndefined();
      for (const method of PROTOCOLS[protocol].get(service)?.keys() ?? [])
        expect(table.find(`/${service}/${method}`)).toBeUndefined();
    }
  });

  it('says the served model where requests name none', () => {
    const table = new MethodTable([], { services: servicesOf(['vllm']), model: 'llama' });
    const generate = table.find('/vllm.grpc.engine.VllmEngine/Generate');
    expect(generate).toMatchObject({ readsModel: true, plan: undefined, servedModel: 'llama', sensitive: false });
    const health = table.find('/vllm.grpc.engine.VllmEngine/HealthCheck');
    expect(health).toMatchObject({ readsModel: false, servedModel: '' });
  });
});
