/**
 * A service that we have no table of, by its own descriptors: which methods a tenant's file lists, and where their requests name
 * the model.
 *
 * A descriptor set is somebody else's file, and may be any: it is bounded, and whatever is wrong with it is said. A method that is
 * not listed has no row, so that it is not let through.
 */
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { err, ok, type Result } from '../kernel/result.ts';
import { planFields } from '../protobuf/field-plan.ts';
import type { MethodRow, ServiceRows } from './method-row.ts';
import { protocolsOf } from './protocols.ts';
import { PathFault, pathShape, type ReadPath, readPath } from './protoset-path.ts';
import { MODEL_SLOT, VERSION_SLOT } from './shape.ts';
import { UNREAD_TOKENS } from './token-usage.ts';

/** One method as a tenant's file lists it. */
export interface ProtosetMethod {
  /** `package.Service/Method`. */
  readonly method: string;
  /** Names of fields from the request on, joined by dots; undefined: the requests name none. */
  readonly model: string | undefined;
  readonly version: string | undefined;
  readonly sensitive: boolean;
}

export interface ProtosetProblem {
  /** Which method it is about, and which of its keys; undefined: the file. */
  readonly at: { readonly index: number; readonly key: 'method' | 'model' | 'version' } | undefined;
  readonly message: string;
  readonly fix: string;
}

/** Largest descriptor set, in bytes: the largest public API's services have a few hundred KiB each. */
export const MAX_DESCRIPTOR_BYTES = 1_048_576;

/** Most files in it. */
export const MAX_DESCRIPTOR_FILES = 1_000;

/** Reads the services of a FileDescriptorSet (`protoc --include_imports --descriptor_set_out`). */
export function readProtoset(
  descriptors: Uint8Array,
  methods: readonly ProtosetMethod[],
): Result<ReadonlyMap<string, ServiceRows>, readonly ProtosetProblem[]> {
  const registry = readRegistry(descriptors);
  if (!registry.ok) return err([registry.error]);
  const services = new Map<string, Map<string, MethodRow>>();
  const problems: ProtosetProblem[] = [];
  for (const [index, listed] of methods.entries()) {
    const row = readMethod(registry.value, listed, services);
    if (!row.ok) {
      problems.push({ ...row.error, at: { index, key: row.error.key } });
      continue;
    }
    const [service, method] = splitName(listed.method);
    const rows = services.get(service) ?? new Map<string, MethodRow>();
    services.set(service, rows.set(method, row.value));
  }
  if (problems.length === 0) return ok(services);
  return err(problems.map(({ at, message, fix }) => ({ at, message: printable(message), fix: printable(fix) })));
}

/** Names out of a hostile file are shown to whoever runs the check. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 600);
}

function readRegistry(descriptors: Uint8Array): Result<FileRegistry, ProtosetProblem> {
  const fix = 'make it with protoc --include_imports --descriptor_set_out=FILE, or buf build -o FILE';
  if (descriptors.length > MAX_DESCRIPTOR_BYTES)
    return err({ at: undefined, message: `is larger than ${MAX_DESCRIPTOR_BYTES / 1024 ** 2} MiB`, fix });
  try {
    const set = fromBinary(FileDescriptorSetSchema, descriptors);
    if (set.file.length > MAX_DESCRIPTOR_FILES)
      return err({ at: undefined, message: `has more than ${MAX_DESCRIPTOR_FILES} files in it`, fix });
    if (set.file.length > 0) return ok(createFileRegistry(set));
    return err({ at: undefined, message: 'has no descriptors in it', fix });
  } catch (cause) {
    return err({ at: undefined, message: `is no FileDescriptorSet: ${faultOf(cause)}`, fix });
  }
}

/** What a parser says of a hostile file may hold parts of it. */
function faultOf(cause: unknown): string {
  if (cause instanceof RangeError) return 'it is nested too deeply, or broken';
  const text = cause instanceof Error ? cause.message : '';
  return printable(text).slice(0, 200) || 'it is broken';
}

interface MethodProblem {
  readonly key: 'method' | 'model' | 'version';
  readonly message: string;
  readonly fix: string;
}

function readMethod(
  registry: FileRegistry,
  listed: ProtosetMethod,
  services: ReadonlyMap<string, ServiceRows>,
): Result<MethodRow, MethodProblem> {
  const [service, name] = splitName(listed.method);
  const wrong = (message: string, fix: string) => err({ key: 'method' as const, message, fix });
  const protocols = protocolsOf(service);
  if (protocols.length > 0)
    return wrong(`${service} has a table of its own`, `add ${protocols.join(' or ')} to protocols`);
  if (services.get(service)?.has(name) === true) return wrong(`${listed.method} stands twice`, 'remove one');
  const described = registry.getService(service);
  if (described === undefined) return wrong(`the descriptors have no service ${service}`, 'correct the name');
  const method = described.methods.find((each) => each.name === name);
  if (method === undefined) {
    const names = described.methods.slice(0, 20).map((each) => each.name);
    return wrong(`${service} has no method ${name}`, `write one of: ${names.join(', ')}`);
  }
  const plan = readPlan(method.input, listed);
  if (!plan.ok) return plan;
  const streaming = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  return ok({
    plan: plan.value,
    servedModel: false,
    requestStreaming: streaming,
    sensitive: listed.sensitive,
    changes: 'unknown to Bulkhead',
    tokens: UNREAD_TOKENS,
  });
}

function readPlan(type: DescMessage, { model, version }: ProtosetMethod): Result<MethodRow['plan'], MethodProblem> {
  if (model === undefined) {
    if (version === undefined) return ok(undefined);
    return err({ key: 'version', message: 'is the version of no model', fix: 'add model: FIELD, or remove it' });
  }
  let key: MethodProblem['key'] = 'model';
  try {
    const paths: ReadPath[] = [readPath(type, model, MODEL_SLOT)];
    key = 'version';
    if (version !== undefined) paths.push(readPath(type, version, VERSION_SLOT));
    return ok(planFields(pathShape(type, paths)));
  } catch (cause) {
    if (cause instanceof PathFault) return err({ key, message: cause.message, fix: cause.fix });
    if (cause instanceof RangeError)
      return err({ key: 'method', message: 'has a request type of too many or too deep types', fix: 'leave it out' });
    throw cause;
  }
}

function splitName(fullName: string): readonly [service: string, method: string] {
  const slash = fullName.indexOf('/');
  return [fullName.slice(0, slash), fullName.slice(slash + 1)];
}
