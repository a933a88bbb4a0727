import { describe, expect, it } from 'vitest';
import { MAX_PERMITTED_MODELS, PermittedModels } from '../../../src/proxy/permitted-models.ts';

const target = (index: number): { readonly model: string; readonly version: string } => ({
  model: `m${index}`,
  version: '1',
});

describe('models that a call was permitted for', () => {
  it('are each there once, the latest last', () => {
    const models = new PermittedModels();
    for (const index of [1, 2, 1, 3]) models.keep(target(index));
    models.keep({ model: 'm1', version: '2' });
    expect(models.all).toEqual([target(2), target(1), target(3), { model: 'm1', version: '2' }]);
  });

  it('are as many as there may be, and of one more the earliest is forgotten', () => {
    const models = new PermittedModels();
    for (let index = 0; index < MAX_PERMITTED_MODELS; index += 1) models.keep(target(index));
    expect([models.all.length, models.all[0]]).toEqual([MAX_PERMITTED_MODELS, target(0)]);
    models.keep(target(0));
    models.keep(target(MAX_PERMITTED_MODELS));
    expect([models.all.length, models.all[0]]).toEqual([MAX_PERMITTED_MODELS, target(2)]);
  });
});
