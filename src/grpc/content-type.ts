/**
 * Tells gRPC from what merely begins like it: `application/grpc-web` is another protocol.
 */

/** True for `application/grpc`, alone or followed by a subtype (`+proto`) or parameters (`;`). Otherwise answer HTTP 415. */
export function isGrpcContentType(value: string): boolean {
  if (value === GRPC) return true;
  if (!value.startsWith(GRPC)) return false;
  const next = value.charCodeAt(GRPC.length);
  return next === PLUS || next === SEMICOLON;
}

/** True when the messages are protobuf: no subtype, or `+proto`. Another codec's bytes may read as protobuf and mean something else. */
export function isProtobufContentType(value: string): boolean {
  return PROTOBUF.test(value);
}

const PROTOBUF = /^application\/grpc(?:\+proto)?(?:;|$)/;
const GRPC = 'application/grpc';
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
