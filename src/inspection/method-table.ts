/**
 * Every method that a call may name, and what Bulkhead must know of it. Total over the KServe V2 service: a method without a
 * row is UNIMPLEMENTED, never let through unread (a test holds the rows against the proto).
 */
import { parseMethodPath } from '../grpc/path.ts';
import type { FieldPlan } from '../protobuf/field-plan.ts';
import { TextCache } from '../protobuf/text-cache.ts';
import { INFER, MODEL_SETTINGS, NAMED_MODEL, REPOSITORY_MODEL } from './inference-shapes.ts';

/** One method of one tenant. The object is the same for every call of the path, so that it may key a Map. */
export interface MethodEntry {
  readonly path: string;
  /** `package.Service`. */
  readonly service: string;
  readonly method: string;
  /** `package.Service/Method`. */
  readonly fullName: string;
  /** Whether its requests name a model, which must be read before a request may reach the server whole. */
  readonly readsModel: boolean;
  /** Present exactly when `readsModel`: slot `MODEL_SLOT` is the model, `VERSION_SLOT` the version. */
  readonly plan: FieldPlan | undefined;
  /** More than one request message may come. True for opaque methods: their number is the server's affair. */
  readonly requestStreaming: boolean;
  /** What it does or tells reaches beyond the models that the caller may use: for administrators. */
  readonly sensitive: boolean;
  /** What it may change on the server; empty when nothing, by its definition. */
  readonly changes: string;
  /** The tenant's strings, read from this method's requests. */
  readonly texts: TextCache;
}

/** One tenant's methods: the KServe V2 service, and all methods of the services that the tenant lists as opaque. */
export class MethodTable {
  readonly #opaqueServices: ReadonlySet<string>;
  readonly #entries = new Map<string, MethodEntry>();
  #opaqueEntries = 0;

  constructor(opaqueServices: readonly string[]) {
    this.#opaqueServices = new Set(opaqueServices);
  }

  /** Finds a canonical path's entry. Undefined when the path is malformed (`parseMethodPath` tells) or the method unknown. */
  find(path: string): MethodEntry | undefined {
    return this.#entries.get(path) ?? this.#make(path);
  }

  /** Entries are made when first asked for: most tenants use a few methods, and there may be ten thousand tenants. */
  #make(path: string): MethodEntry | undefined {
    const parsed = parseMethodPath(path);
    if (parsed === undefined) return undefined;
    const { fullName } = parsed;
    const slash = fullName.indexOf('/');
    const service = fullName.slice(0, slash);
    const method = fullName.slice(slash + 1);
    // The known service is never opaque, whatever the tenant lists: its messages name models.
    const known = service === INFERENCE_SERVICE;
    const row = known ? INFERENCE_METHODS.get(method) : this.#opaqueRow(service, method);
    if (row === undefined) return undefined;
    const entry: MethodEntry = {
      path,
      service,
      method,
      fullName,
      readsModel: row.plan !== undefined,
      plan: row.plan,
      requestStreaming: row.requestStreaming,
      sensitive: row.sensitive,
      changes: row.changes,
      texts: new TextCache(),
    };
    if (known || this.#opaqueEntries < MAX_OPAQUE_ENTRIES) this.#entries.set(path, entry);
    if (!known) this.#opaqueEntries += 1;
    return entry;
  }

  #opaqueRow(service: string, method: string): MethodRow | undefined {
    return method.length <= MAX_OPAQUE_METHOD_LENGTH && this.#opaqueServices.has(service) ? OPAQUE : undefined;
  }
}

/** A service's method names are the caller's to invent; beyond this many, entries are made anew for each call. */
export const MAX_OPAQUE_ENTRIES = 1_024;
/** Longest method name of an opaque service, in characters, so that what is kept is bounded too. */
export const MAX_OPAQUE_METHOD_LENGTH = 256;

export const INFERENCE_SERVICE = 'inference.GRPCInferenceService';

export interface MethodRow {
  readonly plan: FieldPlan | undefined;
  readonly requestStreaming: boolean;
  readonly sensitive: boolean;
  readonly changes: string;
}

const OPAQUE: MethodRow = { plan: undefined, requestStreaming: true, sensitive: false, changes: 'unknown to Bulkhead' };

function row(plan: FieldPlan | undefined, sensitive: boolean, changes: string, requestStreaming = false): MethodRow {
  return { plan, requestStreaming, sensitive, changes };
}

/** The KServe V2 service with Triton's extensions, one row per method of `proto/inference/grpc_inference_service.proto`. */
export const INFERENCE_METHODS: ReadonlyMap<string, MethodRow> = new Map([
  ['ServerLive', row(undefined, false, '')],
  ['ServerReady', row(undefined, false, '')],
  ['ModelReady', row(NAMED_MODEL, false, '')],
  ['ServerMetadata', row(undefined, false, '')],
  ['ModelMetadata', row(NAMED_MODEL, false, '')],
  ['ModelInfer', row(INFER, false, 'state of a sequence of the model, output regions in shared memory')],
  ['ModelStreamInfer', row(INFER, false, 'state of a sequence of the model, output regions in shared memory', true)],
  ['ModelConfig', row(NAMED_MODEL, false, '')],
  // An empty name asks for the statistics of all models.
  ['ModelStatistics', row(NAMED_MODEL, false, '')],
  // Tells the names and states of everyone's models.
  ['RepositoryIndex', row(undefined, true, '')],
  ['RepositoryModelLoad', row(REPOSITORY_MODEL, true, 'which models and versions are served, and from which files')],
  ['RepositoryModelUnload', row(REPOSITORY_MODEL, true, 'which models are served')],
  // Regions have no owner: who may name one may read, write or forget it.
  ['SystemSharedMemoryStatus', row(undefined, true, '')],
  ['SystemSharedMemoryRegister', row(undefined, true, 'which memory of the host the server reads and writes')],
  ['SystemSharedMemoryUnregister', row(undefined, true, 'shared memory regions; all of them when none is named')],
  ['CudaSharedMemoryStatus', row(undefined, true, '')],
  ['CudaSharedMemoryRegister', row(undefined, true, 'which memory of the GPU the server reads and writes')],
  ['CudaSharedMemoryUnregister', row(undefined, true, 'shared memory regions; all of them when none is named')],
  // An empty model name sets the default of all models; the settings say which file is written.
  ['TraceSetting', row(MODEL_SETTINGS, true, 'what the server traces, and into which file')],
  ['LogSettings', row(undefined, true, 'what the server logs, and into which file')],
]);
