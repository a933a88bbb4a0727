/**
 * The reader of descriptor sets, loaded when the first one is read: the library under it takes more memory of each thread than most of
 * what else it runs, and most sidecars have no descriptor set. Synchronous, since tenants are compiled in the turn that needs them.
 */
import { createRequire } from 'node:module';
import type { readProtoset as read } from './protoset.ts';

/** Reads the services of a FileDescriptorSet (`protoc --include_imports --descriptor_set_out`). */
export const readProtoset: typeof read = (descriptors, methods) => {
  // What `require` gives is untyped: it is this module, whose type is known.
  const module = load('./protoset.ts') as { readonly readProtoset: typeof read };
  return module.readProtoset(descriptors, methods);
};

const load = createRequire(import.meta.url);
