/**
 * Judges: real TorchServe, KServe's own server, and peers of TensorFlow Serving's and vLLM's protocols by their published stubs. What is
 * allowed arrives and comes back to the byte as without a sidecar; what is not never arrives; and what is dangerous has to be named.
 */
import { type DescMessage, fromBinary, fromJson, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROTOCOLS, type ProtocolName } from '../../src/inspection/protocols.ts';
import { EMBED_TOKENS, GENERATE_TOKENS } from '../../src/inspection/token-usage.ts';
import type { FieldPlan } from '../../src/protobuf/field-plan.ts';
import { type Answer, field, frame, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import {
  type ModelServer,
  startKserve,
  startTensorflowServing,
  startTorchserve,
  startVllm,
} from './harness/model-server.ts';
import { describedByPeer, peerRegistry } from './harness/peer-descriptors.ts';
import { Sidecar, type TenantSetup } from './harness/sidecar.ts';
import { until } from './harness/until.ts';

type Judged = Exclude<ProtocolName, 'triton'>;
const START: Readonly<Record<Judged, () => Promise<ModelServer>>> = {
  kserve: startKserve,
  'tensorflow-serving': startTensorflowServing,
  torchserve: startTorchserve,
  vllm: startVllm,
};
const JUDGED: readonly Judged[] = ['kserve', 'tensorflow-serving', 'torchserve', 'vllm'];

const servers = new Map<Judged, ModelServer>();
const clients = new Map<string, RawGrpcClient>();
let sidecar: Sidecar;

function server(protocol: Judged): ModelServer {
  const found = servers.get(protocol);
  if (found === undefined) throw new Error(`no ${protocol}`);
  return found;
}

/**
 * Three tenants of each server: `…-user` has some models, and every method that need not be named; `…-stranger` the same of another
 * model; `…-operator` has every method by name, at the port of TorchServe's management.
 */
function tenantsOf(protocol: Judged): readonly TenantSetup[] {
  const services = [...PROTOCOLS[protocol]];
  const whole = services.map(([service]) => `${service}/*`);
  const named = services.flatMap(([service, rows]) => [...rows.keys()].map((method) => `${service}/${method}`));
  const tenant = (role: string, port: number, methods: readonly string[], models: readonly string[]): TenantSetup => ({
    id: `${protocol}-${role}`,
    upstream: `http://127.0.0.1:${port}`,
    extra: {
      protocols: [protocol],
      roles: [{ name: 'all', methods, models }],
      ...(protocol === 'vllm' ? { model: 'llama' } : {}),
    },
  });
  const { port, managementPort } = server(protocol);
  return [
    tenant('user', port, whole, ['echo', 'fraud', 'llama']),
    tenant('stranger', port, whole, ['other']),
    tenant('operator', managementPort, named, ['echo', 'spare']),
  ];
}

beforeAll(async () => {
  const started = await Promise.all(JUDGED.map(async (protocol) => [protocol, await START[protocol]()] as const));
  for (const [protocol, found] of started) servers.set(protocol, found);
  sidecar = await Sidecar.start({ tenants: JUDGED.flatMap(tenantsOf) });
}, 120_000);

afterAll(async () => {
  for (const client of clients.values()) client.close();
  await sidecar?.stop();
  await Promise.all([...servers.values()].map((each) => each.stop()));
});

/** A tenant's connection, or one past the sidecar to a port. */
async function client(to: string | number): Promise<RawGrpcClient> {
  const known = clients.get(String(to));
  if (known !== undefined) return known;
  const made =
    typeof to === 'number'
      ? await RawGrpcClient.plain(to)
      : await RawGrpcClient.connect({
          port: sidecar.port,
          serverName: sidecar.tenant(to).pki.serverName,
          caPem: sidecar.tenant(to).pki.ca.certPem,
          certPem: sidecar.tenant(to).pki.client.certPem,
          keyPem: sidecar.tenant(to).pki.client.keyPem,
        });
  clients.set(String(to), made);
  return made;
}

interface Call {
  readonly protocol: Judged;
  /** The last part of the service's name, and the method. */
  readonly method: string;
  readonly request: JsonObject;
}

function described({ protocol, method }: Call): {
  readonly path: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
} {
  const [name, short] = method.split('/');
  const service = [...PROTOCOLS[protocol].keys()].find((each) => each.endsWith(`.${name}`));
  const found = service && describedByPeer(protocol, service).methods.find((each) => each.name === short);
  if (service === undefined || found === undefined || found === '') throw new Error(`${protocol} has no ${method}`);
  return { path: `/${service}/${short}`, input: found.input, output: found.output };
}

async function call(to: string | number, call: Call): Promise<Answer> {
  const { path, input } = described(call);
  const message = Buffer.from(toBinary(input, fromJson(input, call.request)));
  return (await client(to)).call(path, { chunks: [frame(message)] });
}

/** The messages of an answer, as JSON. */
function messages({ body }: Answer, each: Call): readonly unknown[] {
  const { output } = described(each);
  const found: unknown[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    found.push(toJson(output, fromBinary(output, body.subarray(at + 5, end)), { useProtoFieldName: true }));
    at = end;
  }
  return found;
}

const text = (value: string): string => Buffer.from(value).toString('base64');
const LARGE = 'x'.repeat(300_000);
const tensor = (value: string): JsonObject => ({
  name: 'text',
  datatype: 'BYTES',
  shape: [1],
  contents: { bytes_contents: [text(value)] },
});
const octets = (values: NodeJS.TypedArray): string => Buffer.from(values.buffer).toString('base64');
const squares = (model: string): JsonObject => ({
  model_spec: { name: model },
  inputs: {
    key: {
      dtype: 'DT_INT64',
      tensor_shape: { dim: [{ size: 2 }, { size: 1 }] },
      tensor_content: octets(BigInt64Array.of(7n, 12n)),
    },
  },
});
const prompt: JsonObject = { request_id: 'r1', tokenized: { input_ids: [1, 2, 3] } };
const oip = (model: string, value: string): JsonObject => ({ model_name: model, id: '7', inputs: [tensor(value)] });

/** What the tenant may do, and what comes back. */
const ALLOWED: readonly (Call & { readonly answer: unknown })[] = [
  {
    protocol: 'kserve',
    method: 'GRPCInferenceService/ModelInfer',
    request: oip('echo', LARGE),
    answer: [{ model_name: 'echo', id: '7', outputs: [{ name: 'text', datatype: 'BYTES' }] }],
  },
  {
    protocol: 'kserve',
    method: 'GRPCInferenceService/ModelReady',
    request: { name: 'echo' },
    answer: [{ ready: true }],
  },
  {
    protocol: 'tensorflow-serving',
    method: 'PredictionService/Predict',
    request: squares('fraud'),
    answer: [{ outputs: { predictions: { tensor_content: octets(Int32Array.of(49, 144)) } } }],
  },
  {
    protocol: 'torchserve',
    method: 'InferenceAPIsService/Predictions',
    request: { model_name: 'echo', input: { data: text(LARGE) } },
    answer: [{ prediction: text(LARGE) }],
  },
  {
    protocol: 'torchserve',
    method: 'InferenceAPIsService/StreamPredictions',
    request: { model_name: 'echo', model_version: '1.0', input: { data: text('hello'), twice: text('yes') } },
    answer: [{ prediction: text('hello') }, { prediction: text('hello') }],
  },
  {
    protocol: 'torchserve',
    method: 'GRPCInferenceService/ModelInfer',
    request: oip('echo', 'hello'),
    answer: [{ model_name: 'echo', model_version: '1.0', id: '7', outputs: [{ name: 'text', shape: ['1'] }] }],
  },
  {
    protocol: 'torchserve',
    method: 'GRPCInferenceService/ModelMetadata',
    request: { name: 'echo' },
    answer: [{ name: 'echo', versions: ['1.0'] }],
  },
  {
    protocol: 'vllm',
    method: 'VllmEngine/Generate',
    request: prompt,
    answer: [
      { chunk: { token_ids: [3] } },
      { chunk: { token_ids: [2] } },
      { chunk: { token_ids: [1] } },
      { complete: { output_ids: [3, 2, 1] } },
    ],
  },
  { protocol: 'vllm', method: 'VllmEngine/Embed', request: prompt, answer: [{ embedding: [1, 2, 3] }] },
  { protocol: 'vllm', method: 'VllmEngine/HealthCheck', request: {}, answer: [{ healthy: true }] },
];

describe('what is allowed', () => {
  it.each(ALLOWED)('comes back from $protocol as without a sidecar: $method', async (each) => {
    const direct = await call(server(each.protocol).port, each);
    const through = await call(`${each.protocol}-user`, each);
    expect([through.status, through.message]).toEqual([0, '']);
    expect(messages(through, each)).toMatchObject(each.answer as object);
    expect(through.body.equals(direct.body)).toBe(true);
  });
});

describe('a request’s id', () => {
  it.each([
    {
      protocol: 'kserve',
      method: 'GRPCInferenceService/ModelInfer',
      request: oip('echo', 'a'),
      roles: ['user', 'operator'],
    },
    { protocol: 'vllm', method: 'VllmEngine/Generate', request: { ...prompt, request_id: '7' }, roles: ['user'] },
  ] as const)('stands in its tenant’s namespace: $protocol', async (each) => {
    const judge = server(each.protocol);
    for (const role of each.roles) {
      const name = `${each.protocol}-${role}:7`;
      const [before, bare] = [judge.called(name), judge.called('7')];
      expect(await call(`${each.protocol}-${role}`, each)).toMatchObject({ status: 0 });
      await until(name, () => judge.called(name) > before || undefined, 5_000);
      expect(judge.called('7')).toBe(bare);
    }
  });

  it('of another tenant cannot be named by who aborts', async () => {
    const abort: Call = {
      protocol: 'vllm',
      method: 'VllmEngine/Abort',
      request: { request_ids: ['7', 'vllm-user:7'] },
    };
    expect(await call('vllm-operator', abort)).toMatchObject({ status: 0 });
    const named = ['7', 'vllm-user:7'].map((name) => server('vllm').called(`abort of vllm-operator:${name}`));
    expect(named).toEqual([1, 1]);
    expect(server('vllm').called('abort of vllm-user:7')).toBe(0);
    // Past the sidecar it would be.
    expect(await call(server('vllm').port, abort)).toMatchObject({ status: 0 });
    expect(server('vllm').called('abort of vllm-user:7')).toBe(1);
  });
});

it('vLLM tells of its tokens where they are looked for', () => {
  const { request, response } = GENERATE_TOKENS;
  const registry = peerRegistry('vllm');
  const ofEngine = (name: string) => registry.getMessage(`vllm.grpc.engine.${name}`);
  expect(measuredIn(request, ofEngine('GenerateRequest'))).toEqual([
    'tokenized.input_ids',
    'sampling_params.max_tokens',
    'sampling_params.n',
  ]);
  expect(measuredIn(response, ofEngine('GenerateResponse'))).toEqual([
    'chunk.token_ids',
    'chunk.prompt_tokens',
    'chunk.completion_tokens',
    'complete.output_ids',
    'complete.prompt_tokens',
    'complete.completion_tokens',
  ]);
  expect(measuredIn(EMBED_TOKENS.request, ofEngine('EmbedRequest'))).toEqual(['tokenized.input_ids']);
  expect(measuredIn(EMBED_TOKENS.response, ofEngine('EmbedResponse'))).toEqual(['prompt_tokens']);
});

/** Of a model that the tenant has not. */
const FORBIDDEN: readonly (Call & { readonly tenant: string; readonly called: string })[] = [
  {
    protocol: 'kserve',
    tenant: 'user',
    called: 'secret',
    method: 'GRPCInferenceService/ModelInfer',
    request: oip('secret', 'a'),
  },
  {
    protocol: 'tensorflow-serving',
    tenant: 'user',
    called: 'secret',
    method: 'PredictionService/Predict',
    request: squares('secret'),
  },
  {
    protocol: 'torchserve',
    tenant: 'user',
    called: 'secret',
    method: 'InferenceAPIsService/Predictions',
    request: { model_name: 'secret', input: { data: text('a') } },
  },
  {
    protocol: 'torchserve',
    tenant: 'user',
    called: 'secret',
    method: 'GRPCInferenceService/ModelInfer',
    request: oip('secret', 'a'),
  },
  { protocol: 'vllm', tenant: 'stranger', called: 'Generate', method: 'VllmEngine/Generate', request: prompt },
  { protocol: 'vllm', tenant: 'stranger', called: 'GetModelInfo', method: 'VllmEngine/GetModelInfo', request: {} },
];

describe('what is not allowed', () => {
  it.each(FORBIDDEN)('is refused, and $protocol never sees it: $method', async (each) => {
    const judge = server(each.protocol);
    const before = judge.called(each.called);
    const refused = await call(`${each.protocol}-${each.tenant}`, each);
    expect([refused.status, refused.reason]).toEqual([7, 'MODEL_ACCESS_DENIED']);
    // Past the sidecar the same call is answered: it was the sidecar that stood in its way. What it says of both comes in their order.
    expect(await call(judge.port, each)).toMatchObject({ status: 0 });
    await until('the call', () => (judge.called(each.called) > before ? true : undefined), 5_000);
    expect(judge.called(each.called)).toBe(before + 1);
  });
});

const SENSITIVE = JUDGED.flatMap((protocol) =>
  [...PROTOCOLS[protocol]].flatMap(([service, rows]) =>
    [...rows].filter(([, row]) => row.sensitive).map(([method]) => ({ protocol, path: `/${service}/${method}` })),
  ),
);

describe('what is dangerous', () => {
  it.each(SENSITIVE)('is refused to who has the whole of a service of $protocol: $path', async ({ protocol, path }) => {
    const refused = await (await client(`${protocol}-user`)).call(path, { chunks: [frame(Buffer.alloc(0))] });
    expect([refused.status, refused.reason]).toEqual([7, 'MODEL_ACCESS_DENIED']);
  });

  it('is done by TorchServe for who has it by name', async () => {
    const list: Call = { protocol: 'torchserve', method: 'ManagementAPIsService/ListModels', request: { limit: 10 } };
    const answer = await call('torchserve-operator', list);
    expect(answer.status).toBe(0);
    expect(JSON.stringify(messages(answer, list))).toContain('secret');
    const scale = (model: string): Call => ({
      protocol: 'torchserve',
      method: 'ManagementAPIsService/ScaleWorker',
      request: { model_name: model, min_worker: 1, synchronous: true },
    });
    expect(await call('torchserve-operator', scale('secret'))).toMatchObject({ status: 7 });
    expect(await call('torchserve-operator', scale('echo'))).toMatchObject({ status: 0 });
  });

  it('reaches TensorFlow Serving and vLLM for who has it by name', async () => {
    const reload: Call = {
      protocol: 'tensorflow-serving',
      method: 'ModelService/HandleReloadConfigRequest',
      request: {},
    };
    // The peer has no such method, and says so itself.
    expect(await call('tensorflow-serving-operator', reload)).toMatchObject({ status: 12, reason: '' });
    const abort: Call = { protocol: 'vllm', method: 'VllmEngine/Abort', request: { request_ids: ['r1'] } };
    const before = server('vllm').called('Abort');
    expect(await call('vllm-operator', abort)).toMatchObject({ status: 0 });
    expect(server('vllm').called('Abort')).toBe(before + 1);
  });

  it('is done by KServe to the model that it reads, which is the one that was decided on', async () => {
    const operator = await client('kserve-operator');
    const unload = (message: Buffer): Promise<Answer> =>
      operator.call('/inference.GRPCInferenceService/RepositoryModelUnload', { chunks: [frame(message)] });
    const isThere = async (name: string): Promise<boolean> => {
      const each: Call = { protocol: 'kserve', method: 'GRPCInferenceService/ModelReady', request: { name } };
      return (await call(server('kserve').port, each)).status === 0;
    };
    // Triton has the name in field 2, and would be told of a model that the operator may unload.
    const both = Buffer.concat([field(1, 'secret'), field(2, 'spare')]);
    expect(await unload(both)).toMatchObject({ status: 7, reason: 'MODEL_ACCESS_DENIED' });
    expect([await isThere('secret'), await isThere('spare')]).toEqual([true, true]);
    await unload(field(1, 'spare'));
    expect([await isThere('secret'), await isThere('spare')]).toEqual([true, false]);
  });
});

/** Paths of the fields that a plan measures, by the names that the peer gives to their numbers. */
function measuredIn(plan: FieldPlan | undefined, type: DescMessage | undefined): readonly string[] {
  return plan === undefined ? [] : pathsIn(plan.root, type);
}

function pathsIn(node: FieldPlan['root'], type: DescMessage | undefined): readonly string[] {
  return [...node.fields.entries()].flatMap(([number, planned]) => {
    const described = type?.fields.find((each) => each.number === number);
    if (planned?.kind === 'measured') return [described?.name ?? `no field ${number}`];
    if (planned?.kind !== 'message') return [];
    return pathsIn(planned.node, described?.message).map((path) => `${described?.name}.${path}`);
  });
}
