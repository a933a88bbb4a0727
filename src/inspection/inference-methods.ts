/**
 * The KServe V2 service with Triton's extension: every method, and what it reads and may change (a test holds the rows against
 * the proto).
 */
import {
  CUDA_REGIONS,
  INFER,
  INFER_RESPONSE,
  MODEL_SETTINGS,
  NAMED_MODEL,
  REGION_STATUS,
  REGISTER_CUDA_REGION,
  REGISTER_SYSTEM_REGION,
  REPOSITORY_MODEL,
  STREAM_INFER_RESPONSE,
  SYSTEM_REGIONS,
  UNREGISTER_REGION,
} from './inference-shapes.ts';
import { row, type ServiceRows } from './method-row.ts';
import { INFER_TOKENS, STREAM_INFER_TOKENS } from './token-usage.ts';

export const INFERENCE_SERVICE = 'inference.GRPCInferenceService';

/** The KServe V2 service with Triton's extensions, one row per method of `proto/inference/grpc_inference_service.proto`. */
export const INFERENCE_METHODS: ServiceRows = new Map([
  ['ServerLive', row(undefined, false, '')],
  ['ServerReady', row(undefined, false, '')],
  ['ModelReady', row(NAMED_MODEL, false, '')],
  ['ServerMetadata', row(undefined, false, '')],
  ['ModelMetadata', row(NAMED_MODEL, false, '')],
  [
    'ModelInfer',
    {
      ...row(INFER, false, 'state of a sequence of the model, output regions in shared memory'),
      names: { response: INFER_RESPONSE },
      tokens: INFER_TOKENS,
    },
  ],
  [
    'ModelStreamInfer',
    {
      ...row(INFER, false, 'state of a sequence of the model, output regions in shared memory', true),
      names: { response: STREAM_INFER_RESPONSE },
      tokens: STREAM_INFER_TOKENS,
    },
  ],
  ['ModelConfig', row(NAMED_MODEL, false, '')],
  // An empty name asks for the statistics of all models.
  ['ModelStatistics', row(NAMED_MODEL, false, '')],
  // Tells the names and states of everyone's models.
  ['RepositoryIndex', row(undefined, true, '')],
  ['RepositoryModelLoad', row(REPOSITORY_MODEL, true, 'which models and versions are served, and from which files')],
  ['RepositoryModelUnload', row(REPOSITORY_MODEL, true, 'which models are served')],
  // Regions have no owner: who may name one may read, write or forget it.
  [
    'SystemSharedMemoryStatus',
    { ...row(undefined, true, ''), names: { request: REGION_STATUS, response: SYSTEM_REGIONS, lists: true } },
  ],
  [
    'SystemSharedMemoryRegister',
    {
      ...row(undefined, true, 'which memory of the host the server reads and writes'),
      names: { request: REGISTER_SYSTEM_REGION, required: true, key: true },
    },
  ],
  [
    'SystemSharedMemoryUnregister',
    {
      ...row(undefined, true, 'shared memory regions; all of them when none is named'),
      names: { request: UNREGISTER_REGION, required: true },
    },
  ],
  [
    'CudaSharedMemoryStatus',
    { ...row(undefined, true, ''), names: { request: REGION_STATUS, response: CUDA_REGIONS, lists: true } },
  ],
  [
    'CudaSharedMemoryRegister',
    {
      ...row(undefined, true, 'which memory of the GPU the server reads and writes'),
      names: { request: REGISTER_CUDA_REGION, required: true },
    },
  ],
  [
    'CudaSharedMemoryUnregister',
    {
      ...row(undefined, true, 'shared memory regions; all of them when none is named'),
      names: { request: UNREGISTER_REGION, required: true },
    },
  ],
  // An empty model name sets the default of all models; the settings say which file is written.
  ['TraceSetting', row(MODEL_SETTINGS, true, 'what the server traces, and into which file')],
  ['LogSettings', row(undefined, true, 'what the server logs, and into which file')],
]);
