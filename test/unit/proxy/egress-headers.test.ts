import { describe, expect, it } from 'vitest';
import { markNeverIndexed, neverIndexedIn } from '../../../src/http2/never-indexed.ts';
import { egressHeaders } from '../../../src/proxy/egress-headers.ts';
import { parseRequestHead, type RequestHead } from '../../../src/proxy/request-head.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const { upstream } = fakeTenant('acme').config;
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function headOf(...more: string[]): RequestHead {
  const head = parseRequestHead([':method', 'POST', ':path', '/a.B/C', 'content-type', 'application/grpc', ...more]);
  if (!head.ok) throw new Error(head.error.kind);
  return head.value;
}

function sent(head: RequestHead, timeoutMicros?: number, tls = upstream.tls): Record<string, string[]> {
  const block = egressHeaders({ head, upstream: { ...upstream, tls }, timeoutMicros, traceparent: TRACEPARENT });
  const fields: Record<string, string[]> = {};
  for (let i = 0; i < block.length; i += 2) (fields[block[i] ?? ''] ??= []).push(block[i + 1] ?? '');
  return fields;
}

describe('what the ingress gets', () => {
  it('begins with pseudo-headers, of which the authority is the upstream’s', () => {
    const block = egressHeaders({ head: headOf(), upstream, timeoutMicros: undefined, traceparent: TRACEPARENT });
    expect(block.slice(0, 8).filter((_, index) => index % 2 === 0)).toEqual([
      ':method',
      ':scheme',
      ':path',
      ':authority',
    ]);
    expect(sent(headOf(':authority', 'forged'))).toMatchObject({
      ':authority': [upstream.authority],
      te: ['trailers'],
    });
  });

  it('says https when it goes over TLS', () => {
    expect(sent(headOf())[':scheme']).toEqual(['http']);
    const tls = { caPem: undefined, serverName: 'x', clientCertificate: undefined };
    expect(sent(headOf(), undefined, tls)[':scheme']).toEqual(['https']);
  });

  it('has the credentials, which are meant for it, and our traceparent instead of the client’s', () => {
    const head = headOf('authorization', 'Bearer x', 'x-api-key', 'bk_a_b', 'traceparent', 'theirs', 'x-mine', '1');
    expect(sent(head)).toMatchObject({
      authorization: ['Bearer x'],
      'x-api-key': ['bk_a_b'],
      traceparent: [TRACEPARENT],
      'x-mine': ['1'],
    });
  });

  it('has them never indexed when the client sent them so (RFC 7541 §6.2.3)', () => {
    const block = [
      ':method',
      'POST',
      ':path',
      '/a.B/C',
      'content-type',
      'application/grpc',
      'authorization',
      'Bearer x',
    ];
    markNeverIndexed(block, new Set(['authorization']));
    const head = parseRequestHead(block);
    if (!head.ok) throw new Error(head.error.kind);
    const on = egressHeaders({ head: head.value, upstream, timeoutMicros: undefined, traceparent: TRACEPARENT });
    expect(neverIndexedIn(on)).toEqual(new Set(['authorization']));
  });

  it('has two credentials of a kind as one, which is none', () => {
    expect(sent(headOf('authorization', 'Bearer x', 'authorization', 'Bearer y'))['authorization']).toEqual([
      'Bearer x, Bearer y',
    ]);
  });

  it('has what is left of the deadline, and none when there was none', () => {
    expect(sent(headOf('grpc-timeout', '9S'), 1_500_000)['grpc-timeout']).toEqual(['1500000u']);
    expect(sent(headOf())).not.toHaveProperty('grpc-timeout');
  });

  it.each([
    'x-bulkhead-principal',
    'x_bulkhead_tenant_id',
    'x-forwarded-for',
    'forwarded',
    'x-envoy-original-path',
    'baggage',
  ])('has no %s of the client’s', (name) => {
    expect(sent(headOf(name, 'forged'))).not.toHaveProperty(name);
  });
});
