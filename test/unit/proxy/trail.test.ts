import { describe, expect, it } from 'vitest';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import type { RequestHead } from '../../../src/proxy/request-head.ts';
import { type CallEnd, Trail, type TrailContext } from '../../../src/proxy/trail.ts';
import { fakeTenant } from '../../fakes/trust.ts';

const CLIENT_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${CLIENT_TRACE}-00f067aa0ba902b7-01`;
const HEAD: RequestHead = {
  path: '/a.B/C',
  fullName: 'a.B/C',
  contentType: 'application/grpc',
  timeoutMicros: undefined,
  encoding: 'identity',
  authorization: undefined,
  apiKey: undefined,
  traceparent: undefined,
  passOn: [],
  neverIndexed: undefined,
};
const END: CallEnd = {
  outcome: 'ok',
  grpcStatus: 0,
  reason: '',
  detail: '',
  requestBytes: 1,
  responseBytes: 2,
  requestMessages: 3,
  responseMessages: 4,
  upstream: 'http://model',
  path: '/a.B/C',
};

let clock = 1_000_000;
function trail(changes: Partial<TrailContext> = {}): Trail {
  return new Trail({
    tenantId: 'acme',
    peer: fakeTenant('acme').peer(),
    generation: 7,
    clientContext: 'link',
    sampleRatio: 1,
    now: () => clock as EpochMicros,
    ...changes,
  });
}

describe('a trail', () => {
  it('times its gates one after the other, and the upstream leg from its own begin', () => {
    const one = trail();
    clock += 5;
    one.pass('identify');
    clock += 7;
    one.pass('authenticate');
    one.passOnce('inspect');
    one.passOnce('inspect');
    const from = clock as EpochMicros;
    clock += 100;
    one.upstream(from, 'pass');
    expect(one.record(END).gates).toEqual([
      { gate: 'identify', fromMicros: 0, toMicros: 5, verdict: 'pass' },
      { gate: 'authenticate', fromMicros: 5, toMicros: 12, verdict: 'pass' },
      { gate: 'inspect', fromMicros: 12, toMicros: 12, verdict: 'pass' },
      { gate: 'upstream', fromMicros: 12, toMicros: 112, verdict: 'pass' },
    ]);
    expect(one.record(END).durationMicros).toBe(112);
  });

  it('hands a refusal on, and notes who refused', () => {
    const one = trail();
    const denied = { ok: false, error: { kind: 'draining' } } as const;
    expect(one.fail('reserve', denied)).toBe(denied);
    expect(one.record(END).gates).toMatchObject([{ gate: 'reserve', verdict: 'deny' }]);
  });

  it('has ids of its own when the headers made no sense, and says the path that was sent', () => {
    const record = trail().record({ ...END, path: '//x' });
    expect(record.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(record.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(record).toMatchObject({ method: '_OTHER', methodOriginal: '//x', tenantVerified: false, caller: '' });
  });

  it("begins a trace of its own, with the client's as a link, unless the tenant is trusted to be the parent", () => {
    const linked = trail();
    linked.head = { ...HEAD, traceparent: TRACEPARENT };
    expect(linked.record(END).traceId).not.toBe(CLIENT_TRACE);
    expect(linked.record(END).clientTrace).toMatchObject({ traceId: CLIENT_TRACE, as: 'link' });
    expect(linked.upstreamTraceparent()).not.toContain(CLIENT_TRACE);
    const parented = trail({ clientContext: 'parent' });
    parented.head = { ...HEAD, traceparent: TRACEPARENT };
    expect(parented.record(END)).toMatchObject({ traceId: CLIENT_TRACE, clientTrace: { as: 'parent' } });
    expect(parented.upstreamTraceparent()).toContain(CLIENT_TRACE);
  });

  it("stands in the client's trace also when the headers made no sense: there the refusal is looked for", () => {
    const block = [':path', '//x', 'traceparent', TRACEPARENT];
    const linked = trail();
    linked.headMalformed(block);
    expect(linked.record(END)).toMatchObject({ clientTrace: { traceId: CLIENT_TRACE, as: 'link' }, sampled: true });
    expect(linked.record(END).traceId).not.toBe(CLIENT_TRACE);
    const parented = trail({ clientContext: 'parent' });
    parented.headMalformed(block);
    expect(parented.record(END)).toMatchObject({ traceId: CLIENT_TRACE, clientTrace: { as: 'parent' } });
    const alone = trail();
    alone.headMalformed([':path', '//x']);
    expect(alone.record(END)).toMatchObject({
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      clientTrace: undefined,
    });
  });

  it.each(['', 'garbage', TRACEPARENT.toUpperCase(), `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`])(
    'takes nothing from a traceparent %j',
    (traceparent) => {
      const one = trail({ clientContext: 'parent' });
      one.head = { ...HEAD, traceparent };
      expect(one.record(END).clientTrace).toBeUndefined();
      expect(one.record(END).traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
    },
  );

  it('tells the model server one span, the same each time it is asked', () => {
    const one = trail();
    one.head = HEAD;
    const told = one.upstreamTraceparent();
    expect(one.upstreamTraceparent()).toBe(told);
    expect(told).toBe(`00-${one.record(END).traceId}-${one.record(END).upstreamSpanId}-01`);
    expect(trail({ sampleRatio: 0 }).record(END).sampled).toBe(false);
  });
});
