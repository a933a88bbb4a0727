/**
 * Every method that a tenant can be given, with a request that names a model and a version. The methods come from the protos
 * and descriptors, and so do the requests: a descriptor writes them, not our shapes.
 */
import {
  createFileRegistry,
  type DescMethod,
  fromBinary,
  fromJson,
  type JsonObject,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { PROTOCOL_NAMES, type ProtocolName } from '../../../src/inspection/protocols.ts';
import { type DescribedService, SERVICES } from '../../fakes/protocol-protos.ts';
import { frame } from '../../fakes/raw-grpc-client.ts';
import { scoringProtoset } from '../../fakes/scoring-protoset.ts';

export interface MatrixMethod {
  /** `package.Service/Method`. */
  readonly fullName: string;
  readonly service: string;
  /** For a reader: the same name is not the same method to every server. */
  readonly label: string;
  /** Why no model can be refused to it; undefined: one can. */
  readonly noModel: string | undefined;
  /** Why no version can; undefined: one can. */
  readonly noVersion: string | undefined;
  /** It is about the one model of its server, and its requests name none. */
  readonly isServed: boolean;
  readonly sensitive: boolean;
  /** One message, framed; empty names are left away. */
  request(model: string, version: string): Buffer;
}

/** The model of the server whose requests name none. */
export const SERVED_MODEL = 'served';
const OPAQUE_SERVICE = 'acme.v1.Opaque';
const SCORING = 'acme.v1.Scoring';

const listed = { version: undefined, sensitive: false };
const PROTOSET_METHODS = [
  { ...listed, method: `${SCORING}/Score`, model: 'spec.dataset', version: 'spec.revision' },
  { ...listed, method: `${SCORING}/ScoreMany`, model: 'items.spec.dataset' },
  { ...listed, method: `${SCORING}/Train`, model: 'spec.dataset', sensitive: true },
  { ...listed, method: `${SCORING}/Ping`, model: undefined },
];

const NAMES_NONE = 'its requests name no model; a role has to have the method itself';
const NO_VERSION = 'its requests name no version';

function ofProtocol(service: DescribedService, method: DescMethod): MatrixMethod {
  const row = service.rows.get(method.name);
  if (row === undefined) throw new Error(`${service.service}/${method.name} has no row in its table`);
  const names = row.plan !== undefined || row.servedModel;
  const namesVersion = row.servedModel || row.plan?.slots === 2;
  return {
    fullName: `${service.service}/${method.name}`,
    service: service.service,
    label: `${service.service}/${method.name}${service.protocol === 'kserve' ? ' (kserve)' : ''}`,
    noModel: names ? undefined : NAMES_NONE,
    noVersion: namesVersion ? undefined : names ? NO_VERSION : NAMES_NONE,
    isServed: row.servedModel,
    sensitive: row.sensitive,
    request: (model, version) => encode(method, requestJson(method, model, version)),
  };
}

/** What a request of the method says of the model, by the names of its descriptor. */
function requestJson(method: DescMethod, model: string, version: string): JsonObject {
  const names = new Set(method.input.fields.map(({ name }) => name));
  const spec = { name: model, ...(version === '' ? {} : { version }) };
  if (names.has('model_spec')) return { model_spec: spec };
  if (names.has('tasks')) return { tasks: [{ model_spec: { name: 'allowed', version: '1' } }, { model_spec: spec }] };
  const json: Record<string, string> = {};
  const isOfModel = /^Model|^RepositoryModel/.test(method.name);
  if (names.has('model_name')) json['model_name'] = model;
  else if (isOfModel && names.has('name')) json['name'] = model;
  if (names.has('model_version')) json['model_version'] = version;
  else if (isOfModel && names.has('version')) json['version'] = version;
  // A region of the tenant's own: without a name, or of an object of somebody else's, nobody gets through.
  if (/SharedMemory(Register|Unregister)$/.test(method.name)) json['name'] = 'region';
  if (method.name === 'SystemSharedMemoryRegister') json['key'] = '/matrix.region';
  return json;
}

function encode(method: DescMethod, json: JsonObject): Buffer {
  return frame(Buffer.from(toBinary(method.input, fromJson(method.input, json))));
}

function ofProtoset(): readonly MatrixMethod[] {
  const service = createFileRegistry(fromBinary(FileDescriptorSetSchema, scoringProtoset())).getService(SCORING);
  if (service === undefined) throw new Error(`no ${SCORING}`);
  return PROTOSET_METHODS.map((row) => {
    const method = service.methods.find(({ name }) => row.method === `${SCORING}/${name}`);
    if (method === undefined) throw new Error(`no ${row.method}`);
    return {
      fullName: row.method,
      service: SCORING,
      label: row.method,
      noModel: row.model === undefined ? NAMES_NONE : undefined,
      noVersion: row.version !== undefined ? undefined : row.model === undefined ? NAMES_NONE : NO_VERSION,
      isServed: false,
      sensitive: row.sensitive,
      request: (model, version) => {
        const spec = { dataset: model, ...(version === '' ? {} : { revision: version }) };
        if (row.model === undefined) return encode(method, {});
        if (row.model.startsWith('items')) {
          return encode(method, { items: [{ spec: { dataset: 'allowed' } }, { spec: { dataset: model } }] });
        }
        return encode(method, { spec });
      },
    };
  });
}

const OPAQUE: MatrixMethod = {
  fullName: `${OPAQUE_SERVICE}/Anything`,
  service: OPAQUE_SERVICE,
  label: `${OPAQUE_SERVICE}/Anything`,
  noModel: 'its service is opaque: its messages are not read',
  noVersion: 'its service is opaque: its messages are not read',
  isServed: false,
  sensitive: false,
  request: () => frame(Buffer.from('not protobuf')),
};

/** What a tenant's file says of its model server, and every method that it has. */
export interface ModelServer {
  readonly config: Partial<TenantConfig>;
  readonly methods: readonly MatrixMethod[];
}

const described = (protocols: readonly ProtocolName[]): readonly MatrixMethod[] =>
  SERVICES.filter(({ protocol }) => protocols.includes(protocol)).flatMap((service) =>
    [...service.methods.values()].map((method) => ofProtocol(service, method)),
  );
/** KServe's service has the name of Triton's, so that no tenant has both. */
const BESIDE_KSERVE = PROTOCOL_NAMES.filter((protocol) => protocol !== 'kserve');

/** Every adapter, a service that is read by its descriptors, and one that is not read: on as few servers as can have them. */
export const SERVERS: readonly ModelServer[] = [
  {
    config: {
      protocols: BESIDE_KSERVE,
      servedModel: SERVED_MODEL,
      namespaces: { sharedMemoryKeys: ['matrix.'] },
      opaqueServices: [OPAQUE_SERVICE],
      protoset: { descriptors: Buffer.from(scoringProtoset()).toString('base64'), methods: PROTOSET_METHODS },
    },
    methods: [...described(BESIDE_KSERVE), ...ofProtoset(), OPAQUE],
  },
  { config: { protocols: ['kserve'] }, methods: described(['kserve']) },
];

export const METHODS: readonly MatrixMethod[] = SERVERS.flatMap(({ methods }) => methods);
/** Each once, whichever servers have it. */
export const METHOD_NAMES: readonly string[] = [...new Set(METHODS.map(({ fullName }) => fullName))];
