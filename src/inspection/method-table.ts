/**
 * Every method that a call may name, and what Bulkhead must know of it. Total over the services of the tenant's protocols: a
 * method without a row is UNIMPLEMENTED, never let through unread.
 */
import { parseMethodPath } from '../grpc/path.ts';
import type { FieldPlan } from '../protobuf/field-plan.ts';
import { TextCache } from '../protobuf/text-cache.ts';
import { MessageReaders } from './message-reader.ts';
import { NAME_WINDOW_BYTES } from './message-rewrite.ts';
import { MAX_NAME_LIST_BYTES, type MethodNames, type SharedMemoryKeys } from './method-names.ts';
import type { MethodRow, ServiceRows } from './method-row.ts';
import type { Namespace } from './namespace.ts';
import { protocolsOf, servicesOf } from './protocols.ts';
import { type TokenFields, UNREAD_TOKENS } from './token-usage.ts';

/** One method of one tenant. The object is the same for every call of the path, so that it may key a Map. */
export interface MethodEntry {
  readonly path: string;
  /** `package.Service`. */
  readonly service: string;
  readonly method: string;
  /** `package.Service/Method`. */
  readonly fullName: string;
  /** Whether it is about a model, which must be decided on before a request may reach the server whole. */
  readonly readsModel: boolean;
  /** What is read of its requests: slot `MODEL_SLOT` is the model, `VERSION_SLOT` the version, where `readsModel`. */
  readonly plan: FieldPlan | undefined;
  /** What of its messages stands in the tenant's namespace. */
  readonly names: MethodNames | undefined;
  /** The model of every request where `plan` says none: the server's only one. */
  readonly servedModel: string;
  /** More than one request message may come. True for opaque methods: their number is the server's affair. */
  readonly requestStreaming: boolean;
  /** What it does or tells reaches beyond the models that the caller may use: only a role that names it has it. */
  readonly sensitive: boolean;
  /** What it may change on the server; empty when nothing, by its definition. */
  readonly changes: string;
  /** Read its requests; undefined when they are not read. */
  readonly requests: MessageReaders | undefined;
  /** Read its responses; undefined when they have no names in them. */
  readonly responses: MessageReaders | undefined;
  /** Where its messages tell of tokens; undefined: it takes and gives none. */
  readonly tokens: TokenFields | undefined;
  /** Read its requests where somebody counts tokens and nobody else reads them; undefined: they tell nothing. */
  readonly tokenRequests: MessageReaders | undefined;
}

/** What a tenant's model server speaks. */
export interface ServedProtocols {
  /** Rows by service. */
  readonly services: ReadonlyMap<string, ServiceRows>;
  /** The model of a server that has one only; empty: it has several, and requests name them. */
  readonly model: string;
}

/** Where a tenant's names stand on its model server. */
export interface TenantNames {
  readonly namespace: Namespace;
  readonly keys: SharedMemoryKeys;
}

/** One tenant's methods: those of its protocols, and all methods of the services that it lists as opaque. */
export class MethodTable {
  readonly #opaqueServices: ReadonlySet<string>;
  readonly #served: ServedProtocols;
  readonly #names: TenantNames | undefined;
  readonly #entries = new Map<string, MethodEntry>();
  #opaqueEntries = 0;

  /** Without `names` they go on as they are. */
  constructor(opaqueServices: readonly string[], served: ServedProtocols = TRITON, names?: TenantNames) {
    this.#names = names;
    this.#opaqueServices = new Set(opaqueServices);
    this.#served = served;
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
    const rows = this.#served.services.get(service);
    // A service that can be read is never opaque, whatever the tenant lists: its messages name models.
    const known = rows !== undefined || protocolsOf(service).length > 0;
    const row = known ? rows?.get(method) : this.#opaqueRow(service, method);
    if (row === undefined) return undefined;
    const plan = row.plan ?? (this.#names === undefined ? undefined : row.names?.request);
    const names = this.#namesOf(row);
    const entry: MethodEntry = {
      path,
      service,
      method,
      fullName,
      readsModel: row.plan !== undefined || row.servedModel,
      plan,
      names,
      servedModel: row.servedModel ? this.#served.model : '',
      requestStreaming: row.requestStreaming,
      sensitive: row.sensitive,
      changes: row.changes,
      ...readersOf(plan, names),
      tokens: row.tokens,
      tokenRequests: tokenReaders(row.tokens?.request),
    };
    if (known || this.#opaqueEntries < MAX_OPAQUE_ENTRIES) this.#entries.set(path, entry);
    if (!known) this.#opaqueEntries += 1;
    return entry;
  }

  #namesOf(row: MethodRow): MethodNames | undefined {
    if (this.#names === undefined || row.names === undefined) return undefined;
    const { namespace, keys } = this.#names;
    return { ...row.names, entering: namespace.entering, leaving: namespace.leaving, keys };
  }

  #opaqueRow(service: string, method: string): MethodRow | undefined {
    return method.length <= MAX_OPAQUE_METHOD_LENGTH && this.#opaqueServices.has(service) ? OPAQUE : undefined;
  }
}

function tokenReaders(plan: FieldPlan | undefined): MessageReaders | undefined {
  return plan === undefined ? undefined : new MessageReaders({ plan, texts: new TextCache() });
}

function readersOf(plan: FieldPlan | undefined, names: MethodNames | undefined): Readers {
  // The tenant's strings, read from this method's messages.
  const texts = new TextCache();
  const requests = plan && new MessageReaders({ plan, texts, mapping: names?.entering });
  if (names?.response === undefined) return { requests, responses: undefined };
  const windowBytes = names.lists === true ? MAX_NAME_LIST_BYTES : NAME_WINDOW_BYTES;
  return {
    requests,
    responses: new MessageReaders({ plan: names.response, texts, mapping: names.leaving, windowBytes }),
  };
}

type Readers = Pick<MethodEntry, 'requests' | 'responses'>;

/** A service's method names are the caller's to invent; beyond this many, entries are made anew for each call. */
export const MAX_OPAQUE_ENTRIES = 1_024;
/** What a server speaks unless its tenant's file says something else. */
const TRITON: ServedProtocols = { services: servicesOf(['triton']), model: '' };
/** Longest method name of an opaque service, in characters, so that what is kept is bounded too. */
export const MAX_OPAQUE_METHOD_LENGTH = 256;

const OPAQUE: MethodRow = {
  plan: undefined,
  servedModel: false,
  requestStreaming: true,
  sensitive: false,
  changes: 'unknown to Bulkhead',
  tokens: UNREAD_TOKENS,
};
