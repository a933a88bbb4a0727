/**
 * Our protos as @bufbuild/protobuf descriptors: a second, independent implementation that tests decode with.
 */
import { create, createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import protoLoader from '@grpc/proto-loader';

/** Loads a file below `proto/`, or first of all below `folders`, with all that it imports. */
export function loadRegistry(file: string, folders: readonly string[] = []): FileRegistry {
  const definition = protoLoader.loadSync(file, { includeDirs: [...folders, 'proto'], keepCase: true });
  const files = new Map<string, Buffer>();
  for (const found of Object.values(definition)) {
    const protos = Reflect.get(found, 'fileDescriptorProtos');
    if (!Array.isArray(protos)) continue;
    for (const bytes of protos) if (Buffer.isBuffer(bytes)) files.set(bytes.toString('base64'), bytes);
  }
  const protos = [...files.values()].map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  for (const proto of protos) for (const message of proto.messageType) renameEntries(`.${proto.package}`, message);
  const known = new Set(protos.flatMap(typesOf));
  for (const proto of protos) makeNamesAbsolute(proto, known);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(protos) }));
}

/** proto-loader names a map's entry as the field, which may be the name of its value's type as well. */
function renameEntries(scope: string, message: DescriptorProto): void {
  for (const inner of message.nestedType) {
    renameEntries(`${scope}.${message.name}`, inner);
    if (inner.options?.mapEntry !== true) continue;
    const written = inner.name;
    inner.name = `${written}Entry`;
    for (const field of message.field) {
      if (field.name.toLowerCase() === written.toLowerCase()) field.typeName = `${scope}.${message.name}.${inner.name}`;
    }
  }
}

/** The types that a file defines, by their names from the root. */
function typesOf(file: FileDescriptorProto): readonly string[] {
  const root = `.${file.package}`;
  const collect = (scope: string, message: DescriptorProto): readonly string[] => {
    const name = `${scope}.${message.name}`;
    return [
      name,
      ...message.enumType.map((inner) => `${name}.${inner.name}`),
      ...message.nestedType.flatMap((inner) => collect(name, inner)),
    ];
  };
  return [
    ...file.enumType.map((inner) => `${root}.${inner.name}`),
    ...file.messageType.flatMap((message) => collect(root, message)),
  ];
}

/** proto-loader leaves the names of types as they are written; descriptors want them from the root. */
function makeNamesAbsolute(file: FileDescriptorProto, known: ReadonlySet<string>): void {
  const root = `.${file.package}`;
  const absolute = (scope: string, name: string): string => {
    if (name === '' || name.startsWith('.')) return name;
    for (let at = scope; ; at = at.slice(0, at.lastIndexOf('.'))) {
      if (known.has(`${at}.${name}`)) return `${at}.${name}`;
      if (at === '') throw new Error(`${name} is not known in ${scope}`);
    }
  };
  const rename = (scope: string, message: DescriptorProto): void => {
    const inside = `${scope}.${message.name}`;
    for (const field of message.field) field.typeName = absolute(inside, field.typeName);
    for (const inner of message.nestedType) rename(inside, inner);
  };
  for (const message of file.messageType) rename(root, message);
  for (const service of file.service) {
    for (const method of service.method) {
      method.inputType = absolute(root, method.inputType);
      method.outputType = absolute(root, method.outputType);
    }
  }
}

/** Files behind those that they use types of; proto-loader does not say which those are. */
function inOrder(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const uses = (message: DescriptorProto): readonly string[] => [
    ...message.field.map((field) => field.typeName),
    ...message.nestedType.flatMap(uses),
  ];
  const homes = new Map(files.flatMap((file) => typesOf(file).map((type) => [type, file] as const)));
  const placed = new Set<FileDescriptorProto>();
  const place = (file: FileDescriptorProto): void => {
    const ofMethods = file.service.flatMap(({ method }) => method.flatMap((each) => [each.inputType, each.outputType]));
    const needed = new Set([...file.messageType.flatMap(uses), ...ofMethods].map((type) => homes.get(type)));
    needed.delete(file);
    const others = [...needed].filter((other) => other !== undefined);
    file.dependency = others.map(({ name }) => name);
    for (const other of others) if (!placed.has(other)) place(other);
    placed.add(file);
  };
  for (const file of files) if (!placed.has(file)) place(file);
  return [...placed];
}
