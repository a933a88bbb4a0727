import { describe, expect, it } from 'vitest';
import { markNeverIndexed, neverIndexedIn } from '../../../src/http2/never-indexed.ts';
import { readResponse } from '../../../src/proxy/response-head.ts';

const HEADERS = [':status', '200', 'content-type', 'application/grpc'];
const read = (block: readonly string[], endStream = false, isTrailer = false): ReturnType<typeof readResponse> =>
  readResponse(block, endStream, isTrailer, 'http://model');

describe('a response block', () => {
  it('is passed on as it is: initial, Trailers-Only and trailing', () => {
    for (const [block, endStream, isTrailer, status] of [
      [HEADERS, false, false, 0],
      [[...HEADERS, 'grpc-status', '7', 'grpc-message', 'no'], true, false, 7],
      [['grpc-status', '13', 'x-own-bin', 'AAE'], true, true, 13],
    ] as const) {
      expect(read(block, endStream, isTrailer)).toEqual({ kind: 'valid', block, status });
    }
  });

  it.each(['100', '102', '103', '199'])('with status %s is informational, unless it ends the stream', (status) => {
    expect(read([':status', status])).toEqual({ kind: 'informational' });
    expect(read([':status', status], true)).toMatchObject({ kind: 'invalid' });
  });

  it.each(['429', '502', '503', '504'])('with status %s says to try again', (status) => {
    expect(read([':status', status, 'content-type', 'text/html'])).toMatchObject({
      kind: 'invalid',
      denial: { kind: 'upstream_unavailable' },
    });
  });

  it.each([
    [[':status', '404']],
    [[':status', '401', 'content-type', 'application/grpc']],
    [[':status', '200']],
    [[':status', '200', 'content-type', 'text/html']],
    [[':status', '200', 'content-type', 'application/grpc-web']],
    [['content-type', 'application/grpc']],
  ])('%j is not gRPC', (block) => {
    expect(read(block)).toMatchObject({ kind: 'invalid', denial: { kind: 'upstream_protocol' } });
  });

  it('carries the HTTP status that it had, so that the caller is told what it stands for', () => {
    for (const status of [400, 401, 403, 404, 408, 413, 500, 501]) {
      expect(read([':status', String(status)])).toMatchObject({ denial: { httpStatus: status } });
    }
  });

  it('keeps what is never indexed when its status is changed', () => {
    const block = [':status', '503', 'content-type', 'application/grpc', 'grpc-status', '5', 'x-own', '503'];
    markNeverIndexed(block, new Set(['x-own']));
    const response = read(block, true);
    expect(response.kind === 'valid' && [...(neverIndexedIn(response.block) ?? [])]).toEqual(['x-own']);
  });

  it('of gRPC’s own status is that, whatever HTTP’s is, when it is Trailers-Only', () => {
    const block = [':status', '503', 'content-type', 'application/grpc', 'grpc-status', '5', 'x-own', '503'];
    expect(read(block, true)).toEqual({
      kind: 'valid',
      block: [':status', '200', 'content-type', 'application/grpc', 'grpc-status', '5', 'x-own', '503'],
      status: 5,
    });
    expect(read(block, false)).toMatchObject({ kind: 'invalid' });
    expect(read([':status', '404', 'content-type', 'text/html', 'grpc-status', '5'], true)).toMatchObject({
      kind: 'invalid',
    });
  });

  it.each([
    ['0', 0],
    ['16', 16],
    ['17', 2],
    ['999999999', 2],
  ])('whose status is %j goes on and counts as %i', (text, status) => {
    const block = ['grpc-status', text];
    expect(read(block, true, true)).toEqual({ kind: 'valid', block, status });
  });

  it.each([
    ['none', ['x-own', '1']],
    ['"00"', ['grpc-status', '00']],
    ['"-1"', ['grpc-status', '-1']],
    ['"1e1"', ['grpc-status', '1e1']],
    ['""', ['grpc-status', '']],
    ['a number of ten digits', ['grpc-status', '1000000000']],
    ['there twice', ['grpc-status', '0', 'x-own', '1', 'grpc-status', '0']],
  ])('whose status is %s is UNKNOWN to every client, and no success', (_what, block) => {
    for (const [whole, isTrailer] of [
      [block, true],
      [[...HEADERS, ...block], false],
      [[':status', '503', 'content-type', 'application/grpc', ...block, 'grpc-status', 'x'], false],
    ] as const) {
      expect(read(whole, true, isTrailer)).toMatchObject({
        kind: 'invalid',
        denial: { kind: 'upstream_protocol', httpStatus: 200 },
      });
    }
  });

  it('says nothing by its status unless it ends the stream', () => {
    const block = [...HEADERS, 'grpc-status', '13'];
    expect(read(block, false)).toEqual({ kind: 'valid', block, status: 0 });
  });
});
