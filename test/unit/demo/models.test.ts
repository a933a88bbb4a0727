import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { batchRequest, readPredictions, repeatedRequest } from '../../../src/demo/inference-batch.ts';
import { digestOf, PROVENANCE, SAMPLES } from '../../../src/demo/models/samples.ts';
import { loadModels, type ModelRepository } from '../../../src/demo/server/model-repository.ts';

const WIDTHS = { digits: 64, 'wine-cultivar': 13, 'breast-cancer': 30 };

describe.each(PROVENANCE)('the model $name', (model) => {
  let repository: ModelRepository;

  beforeAll(async () => {
    repository = await loadModels(fileURLToPath(new URL('../../../src/demo/models', import.meta.url)));
  });

  it('is the file that its provenance names', () => {
    expect(digestOf(model)).toBe(model.sha256);
  });

  it('is right on 97 % of what it was not trained on, or more', () => {
    expect(model.heldOut.correct / model.heldOut.samples).toBeGreaterThanOrEqual(0.97);
  });

  it('says where its data is from and under which licence', () => {
    expect(model.data).toMatchObject({ source: expect.stringContaining('UCI'), licence: 'CC BY 4.0' });
  });

  it('gives the held-out samples of the repository their true labels, with a probability', async () => {
    const samples = SAMPLES[model.name];
    expect(samples.every((sample) => sample.features.length === WIDTHS[model.name])).toBe(true);
    const found = repository.find(model.name, '');
    if (!found.ok) throw new Error(found.error.message);
    const answer = await found.value.infer(batchRequest(model.name, samples));
    if (!answer.ok) throw new Error(answer.error.message);
    const predictions = readPredictions(answer.value);
    const right = predictions.filter((prediction, row) => prediction.label === samples[row]?.truth).length;
    expect(right).toBeGreaterThanOrEqual(samples.length - 1);
    expect(predictions.every(({ confidence }) => confidence > 0.33 && confidence <= 1)).toBe(true);
  });
});

describe('repeatedRequest', () => {
  it('repeats the samples until the tensor has its rows, the last time in part', () => {
    const samples = [
      { truth: 0, features: [1, 2] },
      { truth: 1, features: [3, 4] },
    ];
    const { inputs, rawInputContents } = repeatedRequest('digits', samples, 5);
    const raw = rawInputContents?.[0];
    expect(inputs[0]?.shape).toEqual(['5', '2']);
    expect(Array.from(new Float32Array(Uint8Array.from(raw ?? []).buffer))).toEqual([1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
  });
});
