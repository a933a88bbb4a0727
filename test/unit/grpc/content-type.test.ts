import { describe, expect, it } from 'vitest';
import { isGrpcContentType } from '../../../src/grpc/content-type.ts';

describe('a content type', () => {
  it.each(['application/grpc', 'application/grpc+proto', 'application/grpc+json', 'application/grpc;charset=utf-8'])(
    '%s is gRPC',
    (value) => {
      expect(isGrpcContentType(value)).toBe(true);
    },
  );

  it.each([
    '',
    'application/grpc-web',
    'application/grpc-web+proto',
    'application/grpcx',
    'application/json',
    ' application/grpc',
  ])('%j is not', (value) => {
    expect(isGrpcContentType(value)).toBe(false);
  });
});
