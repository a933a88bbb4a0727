import { fileURLToPath } from 'node:url';
import { Client, credentials, Metadata, Server, ServerCredentials, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { batchRequest, readLabels } from '../../../../src/demo/inference-batch.ts';
import {
  type InferRequest,
  type InferResponse,
  loadInferenceService,
  type StreamInferResponse,
} from '../../../../src/demo/inference-protocol.ts';
import { SAMPLES } from '../../../../src/demo/models/samples.ts';
import { inferenceService, type SeenCall } from '../../../../src/demo/server/inference-service.ts';
import { loadModels } from '../../../../src/demo/server/model-repository.ts';

const service = loadInferenceService();
const wine = batchRequest('wine-cultivar', SAMPLES['wine-cultivar']);
const truths = SAMPLES['wine-cultivar'].map((sample) => sample.truth);

describe('the model server', () => {
  const server = new Server();
  const seen: SeenCall[] = [];
  let client: Client;

  beforeAll(async () => {
    const models = await loadModels(fileURLToPath(new URL('../../../../src/demo/models', import.meta.url)));
    server.addService(
      service,
      inferenceService(models, (call) => seen.push(call)),
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });

  beforeEach(() => {
    seen.length = 0;
  });

  afterAll(() => {
    client.close();
    server.forceShutdown();
  });

  it('infers a batch', async () => {
    const response = await call<InferResponse>('ModelInfer', { ...wine, id: 'r1' });
    expect(response).toMatchObject({ modelName: 'wine-cultivar', modelVersion: '1', id: 'r1' });
    const right = readLabels(response).filter((label, row) => label === truths[row]).length;
    expect(right).toBeGreaterThanOrEqual(truths.length - 1);
  });

  it('gives only the outputs that are asked for', async () => {
    const response = await call<InferResponse>('ModelInfer', { ...wine, outputs: [{ name: 'label' }] });
    expect(response.outputs.map((output) => output.name)).toEqual(['label']);
  });

  it.each([
    ['an unknown model', { ...wine, modelName: 'nobody' }, 5],
    ['an unknown version', { ...wine, modelVersion: '2' }, 5],
    ['an input of another model', { ...wine, modelName: 'digits' }, 3],
    ['an output that is not there', { ...wine, outputs: [{ name: 'logits' }] }, 3],
    ['no input', { modelName: 'digits', inputs: [] }, 3],
    ['a row that is too short', rowOf(12), 3],
    ['a row that is too long', rowOf(14), 3],
  ])('refuses %s', async (_, request: InferRequest, code) => {
    await expect(call('ModelInfer', request)).rejects.toMatchObject({ code });
  });

  it('describes its models', async () => {
    expect(await call('ModelMetadata', { name: 'digits', version: '' })).toMatchObject({
      versions: ['1'],
      inputs: [{ name: 'pixels', datatype: 'FP32', shape: ['-1', '64'] }],
      outputs: [
        { name: 'probabilities', datatype: 'FP32', shape: ['-1', '10'] },
        { name: 'label', datatype: 'INT64', shape: ['-1'] },
      ],
    });
    expect(await call('ModelReady', { name: 'digits' })).toMatchObject({ ready: true });
    expect(await call('ModelReady', { name: 'nobody' })).toMatchObject({ ready: false });
    await expect(call('ModelMetadata', { name: 'nobody' })).rejects.toMatchObject({ code: 5 });
    const { models } = await call<{ models: { name: string }[] }>('RepositoryIndex', {});
    expect(models.map((model) => model.name)).toEqual(['breast-cancer', 'digits', 'wine-cultivar']);
  });

  it('counts what it has done', async () => {
    const before = await statistics();
    await call('ModelInfer', wine);
    await expect(call('ModelInfer', rowOf(12))).rejects.toMatchObject({ code: 3 });
    const after = await statistics();
    expect(after.rows - before.rows).toBe(truths.length);
    expect(after.runs - before.runs).toBe(1);
    expect(after.failures - before.failures).toBe(1);
  });

  it('answers a stream message by message, and goes on after one that fails', async () => {
    const answers = await stream([wine, { ...wine, modelName: 'nobody' }, wine]);
    expect(answers.map((answer) => answer.errorMessage)).toEqual(['', "model 'nobody' is not found", '']);
    expect(readLabels(answers[2]?.inferResponse ?? undefined)).toHaveLength(truths.length);
  });

  it('notes whom a call is for, and credentials by name only', async () => {
    const metadata = new Metadata();
    metadata.set('x-bulkhead-tenant-id', 'acme');
    metadata.set('x-bulkhead-principal', 'token:ada');
    metadata.set('authorization', 'Bearer secret');
    await call('ModelInfer', { ...wine, id: 'r7' }, metadata);
    expect(seen).toEqual([
      {
        method: 'ModelInfer',
        model: 'wine-cultivar',
        id: 'r7',
        tenant: 'acme',
        principal: 'token:ada',
        traceparent: '',
        credentials: ['authorization'],
      },
    ]);
  });

  it('leaves what it does not do unimplemented', async () => {
    await expect(call('RepositoryModelLoad', { modelName: 'digits' })).rejects.toMatchObject({ code: 12 });
  });

  function call<A>(method: string, request: object, metadata = new Metadata()): Promise<A> {
    const definition = definitionOf(method);
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, answer?: object): void =>
        error === null ? resolve(answer as A) : reject(error);
      client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        metadata,
        done,
      );
    });
  }

  function stream(requests: readonly InferRequest[]): Promise<StreamInferResponse[]> {
    const definition = definitionOf('ModelStreamInfer');
    const answers: StreamInferResponse[] = [];
    return new Promise((resolve, reject) => {
      const duplex = client.makeBidiStreamRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
      );
      duplex.on('data', (answer: StreamInferResponse) => answers.push(answer));
      duplex.on('error', reject);
      duplex.on('end', () => resolve(answers));
      for (const request of requests) duplex.write(request);
      duplex.end();
    });
  }

  async function statistics(): Promise<{ rows: number; runs: number; failures: number }> {
    const { modelStats } = await call<{
      modelStats: { inferenceCount: string; executionCount: string; inferenceStats: { fail: { count: string } } }[];
    }>('ModelStatistics', { name: 'wine-cultivar' });
    const [model] = modelStats;
    return {
      rows: Number(model?.inferenceCount),
      runs: Number(model?.executionCount),
      failures: Number(model?.inferenceStats.fail.count),
    };
  }
});

function rowOf(features: number): InferRequest {
  return batchRequest('wine-cultivar', [{ truth: 0, features: Array<number>(features).fill(1) }]);
}

function definitionOf(method: string): (typeof service)[string] {
  const definition = service[method];
  if (definition === undefined) throw new Error(method);
  return definition;
}
