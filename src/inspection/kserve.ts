/**
 * KServe's own model server. Its service has the name of Triton's, and not its numbers: what loads and unloads models names them
 * in field 1, which Triton calls a repository. Read by Triton's table, a request could name one model to us and another to it.
 */
import { planFields } from '../protobuf/field-plan.ts';
import { INFERENCE_SERVICE } from './inference-methods.ts';
import { row, type ServiceRows } from './method-row.ts';
import { OPEN_INFERENCE } from './open-inference.ts';
import { captured, MODEL_SLOT } from './shape.ts';

/** RepositoryModelLoadRequest, RepositoryModelUnloadRequest: they name no version. */
const REPOSITORY_MODEL = planFields({ 1: captured(MODEL_SLOT, 'model_name') });

/** Rows by `package.Service`. */
export const KSERVE: ReadonlyMap<string, ServiceRows> = new Map([
  [
    INFERENCE_SERVICE,
    new Map([
      ...OPEN_INFERENCE,
      ['RepositoryModelLoad', row(REPOSITORY_MODEL, true, 'which models are served')],
      ['RepositoryModelUnload', row(REPOSITORY_MODEL, true, 'which models are served')],
    ]),
  ],
]);
