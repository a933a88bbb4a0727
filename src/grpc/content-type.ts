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

const GRPC = 'application/grpc';
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
