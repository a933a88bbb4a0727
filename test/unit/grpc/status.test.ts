import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  GrpcStatus,
  parseStatus,
  percentEncodeMessage,
  statusName,
  statusOfHttp,
  statusOfReset,
} from '../../../src/grpc/status.ts';

describe('a gRPC status', () => {
  it('has its name and number', () => {
    expect(statusName(GrpcStatus.OK)).toBe('OK');
    expect(statusName(8)).toBe('RESOURCE_EXHAUSTED');
    expect(statusName(16)).toBe('UNAUTHENTICATED');
    expect(Object.values(GrpcStatus)).toEqual(Array.from({ length: 17 }, (_, code) => code));
  });

  it.each([
    ['0', 0],
    ['16', 16],
    ['17', 2],
    ['99', 2],
    ['100', 2],
    ['-1', 2],
    ['1.0', 2],
    ['0x5', 2],
    ['', 2],
    ['OK', 2],
  ])('of trailers that say %j is %d', (text, status) => {
    expect(parseStatus(text)).toBe(status);
  });

  it.each([
    [400, 'INTERNAL'],
    [401, 'UNAUTHENTICATED'],
    [403, 'PERMISSION_DENIED'],
    [404, 'UNIMPLEMENTED'],
    [429, 'UNAVAILABLE'],
    [431, 'INTERNAL'],
    [502, 'UNAVAILABLE'],
    [503, 'UNAVAILABLE'],
    [504, 'UNAVAILABLE'],
    [200, 'UNKNOWN'],
    [302, 'UNKNOWN'],
    [500, 'UNKNOWN'],
  ])('of an HTTP %d without one is %s', (http, name) => {
    expect(statusName(statusOfHttp(http))).toBe(name);
  });

  it.each([
    [0, 'INTERNAL'],
    [1, 'INTERNAL'],
    [2, 'INTERNAL'],
    [3, 'INTERNAL'],
    [4, 'INTERNAL'],
    [5, 'UNKNOWN'],
    [6, 'INTERNAL'],
    [7, 'UNAVAILABLE'],
    [8, 'CANCELLED'],
    [9, 'INTERNAL'],
    [10, 'INTERNAL'],
    [11, 'RESOURCE_EXHAUSTED'],
    [12, 'PERMISSION_DENIED'],
    [13, 'UNKNOWN'],
    [0xffff_ffff, 'UNKNOWN'],
  ])('of a stream reset with %d is %s', (code, name) => {
    expect(statusName(statusOfReset(code))).toBe(name);
  });

  it('of a stream cancelled after its deadline is DEADLINE_EXCEEDED', () => {
    expect(statusOfReset(8, true)).toBe(GrpcStatus.DEADLINE_EXCEEDED);
    expect(statusOfReset(7, true)).toBe(GrpcStatus.UNAVAILABLE);
  });
});

describe('grpc-message', () => {
  it('leaves printable ASCII alone, and encodes the rest', () => {
    expect(percentEncodeMessage('all good: ~!$&')).toBe('all good: ~!$&');
    expect(percentEncodeMessage('100%\n\0é€')).toBe('100%25%0A%00%C3%A9%E2%82%AC');
    expect(percentEncodeMessage('\x7f')).toBe('%7F');
  });

  it('can be decoded again, and is always a header value', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const encoded = percentEncodeMessage(text);
        expect(encoded).toMatch(/^[ -~]*$/);
        expect(decodeURIComponent(encoded)).toBe(text);
      }),
    );
  });
});
