/**
 * Decoders for the demo's own `.proto` files: one function per message, made once.
 */
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';

/** Loads a file beside this one and returns its decoders by message name. T is what the caller knows the message to be. */
export function loadDecoders(file: string): <T>(message: string) => (bytes: Buffer) => T {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const definitions = loadSync(path, { longs: String, enums: String, defaults: true, arrays: true, oneofs: true });
  return <T>(message: string) => {
    const definition = definitions[`demo.${message}`];
    if (definition === undefined || !('deserialize' in definition))
      throw new Error(`${file} has no message ${message}`);
    const { deserialize } = definition;
    // Boundary: a message that was decoded with defaults and arrays has every field that its .proto names.
    return (bytes) => (deserialize as (bytes: Buffer) => T)(bytes);
  };
}
