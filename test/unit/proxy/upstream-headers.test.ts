import { describe, expect, it } from 'vitest';
import { Authenticator, type Caller } from '../../../src/authn/authenticator.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { neverIndexedIn } from '../../../src/http2/never-indexed.ts';
import { issueClient } from '../../../src/identity/issue.ts';
import type { Peer } from '../../../src/identity/peer.ts';
import type { RequestHead } from '../../../src/proxy/request-head.ts';
import { upstreamHeaders } from '../../../src/proxy/upstream-headers.ts';
import { type FakeTenant, fakeTenant, micros } from '../../fakes/trust.ts';

const HEAD: RequestHead = {
  path: '/inference.GRPCInferenceService/ModelInfer',
  fullName: 'inference.GRPCInferenceService/ModelInfer',
  contentType: 'application/grpc',
  timeoutMicros: undefined,
  encoding: 'identity',
  authorization: 'Bearer secret',
  apiKey: 'bk_secret',
  traceparent: undefined,
  passOn: ['content-type', 'application/grpc', 'x-own', '1'],
  neverIndexed: undefined,
};

async function callerOf(tenant: FakeTenant, peer: Peer): Promise<Caller> {
  const authenticator = new Authenticator(tenant.config, new Directory([tenant.config]));
  const presented = { authorization: undefined, apiKey: undefined };
  const caller = await authenticator.authenticate(peer, presented, micros(Date.now() / 1000));
  if (!caller.ok) throw new Error(caller.error.kind);
  return caller.value;
}

function blockOf(caller: Caller, peer: Peer, timeoutMicros?: number, head = HEAD): readonly string[] {
  const more = { authority: 'model:8001', scheme: 'http', traceparent: '00-t-s-01', plainResponse: false } as const;
  return upstreamHeaders({ head, peer, caller, timeoutMicros, ...more });
}

function build(caller: Caller, peer: Peer, timeoutMicros?: number): ReadonlyMap<string, string> {
  const block = blockOf(caller, peer, timeoutMicros);
  const pairs: [string, string][] = [];
  for (let i = 0; i < block.length; i += 2) pairs.push([block[i] ?? '', block[i + 1] ?? '']);
  expect(new Set(pairs.map(([name]) => name)).size).toBe(pairs.length);
  return new Map(pairs);
}

describe('the headers for the model server', () => {
  it('are the request line as configured, the client’s own metadata, and what is verified', async () => {
    const acme = fakeTenant('acme');
    const peer = acme.peer();
    const headers = build(await callerOf(acme, peer), peer, 1_500_000);
    expect(Object.fromEntries(headers)).toEqual({
      ':method': 'POST',
      ':scheme': 'http',
      ':path': HEAD.path,
      ':authority': 'model:8001',
      te: 'trailers',
      'content-type': 'application/grpc',
      'x-own': '1',
      'x-bulkhead-tenant-id': 'acme',
      'x-bulkhead-principal': 'cert:spiffe://acme.example/client',
      'x-forwarded-client-cert': `Hash=${peer.certificate.sha256};Subject="CN=acme client";URI=spiffe://acme.example/client`,
      'x-gateway-inference-fairness-id': 'acme',
      traceparent: '00-t-s-01',
      'grpc-timeout': '1500000u',
    });
  });

  it('are never indexed where the client’s own were not, unless those end here', async () => {
    const acme = fakeTenant('acme');
    const peer = acme.peer();
    const caller = await callerOf(acme, peer);
    const of = (...names: string[]) =>
      neverIndexedIn(blockOf(caller, peer, undefined, { ...HEAD, neverIndexed: new Set(names) }));
    expect(of('authorization', 'x-own')?.has('x-own')).toBe(true);
    expect(of('authorization', 'x-api-key', 'cookie')).toBe(undefined);
  });

  it('have pseudo-fields first and no timeout where the client has set none', async () => {
    const acme = fakeTenant('acme');
    const peer = acme.peer();
    const headers = build(await callerOf(acme, peer), peer);
    expect([...headers.keys()].findLastIndex((name) => name.startsWith(':'))).toBe(3);
    expect(headers.has('grpc-timeout')).toBe(false);
  });

  it('tell the certificate of this connection, also when the same caller object comes over another', async () => {
    const acme = fakeTenant('acme');
    const other = issueClient(acme.pki.ca, {
      spiffeId: 'spiffe://acme.example/other',
      dnsNames: ['a.test', 'b.test'],
      days: 1,
    });
    const peers = [acme.peer(), acme.peer(other)] as const;
    const caller = await callerOf(acme, peers[0]);
    for (const peer of [...peers, ...peers]) {
      const xfcc = build(caller, peer).get('x-forwarded-client-cert') ?? '';
      expect(xfcc).toContain(peer.certificate.sha256);
      expect(xfcc.includes('DNS=a.test;DNS=b.test')).toBe(peer === peers[1]);
    }
  });

  it.each([
    ['a"b', 'Subject="CN=a'],
    ['a\\b', 'Subject="CN=a'],
    ['ü', 'Subject="CN=%C3%BC"'],
    ['100%', 'Subject="CN=100%25"'],
    ['x";By=spiffe://globex.example/admin', ';URI=spiffe://acme.example/client'],
  ])('quote a subject %s, so that it stays one value', async (commonName, expected) => {
    const acme = fakeTenant('acme');
    const peer = acme.peer(issueClient(acme.pki.ca, { commonName, spiffeId: acme.pki.spiffeId, days: 1 }));
    const xfcc = build(await callerOf(acme, peer), peer).get('x-forwarded-client-cert') ?? '';
    expect(xfcc).toContain(expected);
    expect(xfcc.replace(/"(?:[^"\\]|\\.)*"/g, '').split(';')).toHaveLength(3);
    expect(xfcc).toMatch(/^[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]$/);
  });
});
