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

/** Loads a file below `proto/`, with all that it imports. */
export function loadRegistry(file: string): FileRegistry {
  const definition = protoLoader.loadSync(file, { includeDirs: ['proto'], keepCase: true });
  const files = new Map<string, Buffer>();
  for (const found of Object.values(definition)) {
    const protos = Reflect.get(found, 'fileDescriptorProtos');
    if (!Array.isArray(protos)) continue;
    for (const bytes of protos) if (Buffer.isBuffer(bytes)) files.set(bytes.toString('base64'), bytes);
  }
  const protos = [...files.values()].map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  for (const proto of protos) makeNamesAbsolute(proto);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: protos }));
}

/** proto-loader leaves the names of types as they are written; descriptors want them from the root. */
function makeNamesAbsolute(file: FileDescriptorProto): void {
  const known = new Set<string>();
  const collect = (scope: string, message: DescriptorProto): void => {
    const name = `${scope}.${message.name}`;
    known.add(name);
    for (const inner of message.enumType) known.add(`${name}.${inner.name}`);
    for (const inner of message.nestedType) collect(name, inner);
  };
  const root = `.${file.package}`;
  for (const inner of file.enumType) known.add(`${root}.${inner.name}`);
  for (const message of file.messageType) collect(root, message);
  const absolute = (scope: string, name: string): string => {
    if (name === '' || name.startsWith('.')) return name;
    for (let at = scope; at !== ''; at = at.slice(0, at.lastIndexOf('.'))) {
      if (known.has(`${at}.${name}`)) return `${at}.${name}`;
    }
    throw new Error(`${name} is not known in ${scope}`);
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
