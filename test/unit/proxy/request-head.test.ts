import { describe, expect, it } from 'vitest';
import { fateOf } from '../../../src/proxy/header-fate.ts';
import { parseRequestHead, pathOf } from '../../../src/proxy/request-head.ts';

const PATH = '/inference.GRPCInferenceService/ModelInfer';
const BASE = [
  ':method',
  'POST',
  ':scheme',
  'https',
  ':path',
  PATH,
  ':authority',
  'a',
  'content-type',
  'application/grpc',
  'te',
  'trailers',
];

function parsed(...more: string[]): Extract<ReturnType<typeof parseRequestHead>, { ok: true }>['value'] {
  const result = parseRequestHead([...BASE, ...more]);
  if (!result.ok) throw new Error(result.error.kind);
  return result.value;
}

function refusal(block: readonly string[]): string {
  const result = parseRequestHead(block);
  return result.ok ? 'accepted' : result.error.kind;
}

describe('a request head', () => {
  it('reads what the gates need', () => {
    const head = parsed(
      'grpc-timeout',
      '100m',
      'grpc-encoding',
      'gzip',
      'authorization',
      'Bearer x',
      'x-api-key',
      'k',
      'traceparent',
      't',
    );
    expect(head).toMatchObject({
      path: PATH,
      fullName: PATH.slice(1),
      timeoutMicros: 100_000,
      encoding: 'gzip',
      authorization: 'Bearer x',
      apiKey: 'k',
      traceparent: 't',
    });
  });

  it("passes on the client's own metadata, in order, duplicates and binary values included", () => {
    const head = parsed('x-own', '1', 'x-own', '2', 'data-bin', 'AAEC', 'user-agent', 'grpc-go/1');
    expect(head.passOn).toEqual([
      'content-type',
      'application/grpc',
      'x-own',
      '1',
      'x-own',
      '2',
      'data-bin',
      'AAEC',
      'user-agent',
      'grpc-go/1',
    ]);
  });

  it.each([
    'authorization',
    'x-api-key',
    'cookie',
    'proxy-authorization',
    'x-bulkhead-tenant-id',
    'x-bulkhead-anything',
    'x-forwarded-client-cert',
    'client-cert',
    'client-cert-chain',
    'l5d-client-id',
    'x-tenant-id',
    'x-gateway-inference-fairness-id',
    'x-envoy-original-path',
    'grpc-trace-bin',
    'baggage',
    'tracestate',
    'traceparent',
    'grpc-timeout',
    'te',
    'host',
    'content-length',
  ])('never passes %s on', (name) => {
    const value = name === 'grpc-timeout' ? '1S' : 'forged';
    expect(parsed(name, value).passOn).not.toContain(name);
  });

  it('joins two credentials of a kind, so that they match none', () => {
    expect(parsed('authorization', 'Bearer a', 'authorization', 'Bearer b').authorization).toBe('Bearer a, Bearer b');
  });

  it('refuses what is not canonical', () => {
    const withPath = (path: string): string[] => BASE.map((text) => (text === PATH ? path : text));
    expect(refusal(withPath('/a.B/C%20'))).toBe('path_malformed');
    expect(refusal(withPath('//a.B/C'))).toBe('path_malformed');
    expect(refusal(withPath('/a.B/C/'))).toBe('path_malformed');
    expect(refusal(withPath('/a.B/../C'))).toBe('path_malformed');
    expect(refusal(BASE.map((text) => (text === 'POST' ? 'GET' : text)))).toBe('header_malformed');
    expect(refusal(BASE.map((text) => (text === 'application/grpc' ? 'application/json' : text)))).toBe(
      'content_type_unsupported',
    );
    expect(refusal([...BASE, 'grpc-timeout', '1x'])).toBe('header_malformed');
    expect(refusal([...BASE, 'grpc-timeout', '123456789S'])).toBe('header_malformed');
  });

  it('cuts the path that goes on record', () => {
    expect(pathOf([':path', `/${'x'.repeat(1000)}`])).toHaveLength(256);
    expect(pathOf([])).toBe('');
  });
});

describe('the memory of header names', () => {
  it('has an end, and decides the same beyond it', () => {
    for (let i = 0; i < 5_000; i++) fateOf(`x-invented-${i}`);
    expect(fateOf('x-envoy-new-after-the-end')).toBe('strip');
    expect(fateOf('x-mine-after-the-end')).toBe('pass');
    expect(fateOf('authorization')).toBe('authorization');
  });
});
