/**
 * Judges: the descriptors that tritonclient, KServe, TensorFlow Serving, TorchServe and vLLM's stubs bring with them. Each of our tables
 * has their methods, and no other, and every field of what it reads.
 */
import { describe, expect, it } from 'vitest';
import { PROTOCOL_NAMES, PROTOCOLS } from '../../src/inspection/protocols.ts';
import { differences } from '../fakes/plan-of-type.ts';
import { describedByPeer } from './harness/peer-descriptors.ts';

describe.each(PROTOCOL_NAMES)('the table of %s', (protocol) => {
  it.each([...PROTOCOLS[protocol]])('has %s as its peer describes it', (service, rows) => {
    const { methods } = describedByPeer(protocol, service);
    expect([...rows.keys()].sort()).toEqual(methods.map(({ name }) => name).sort());
    for (const method of methods) {
      const row = rows.get(method.name);
      const streams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
      const found = row?.plan === undefined ? [] : differences(row.plan.root, method.input);
      expect({ name: method.name, streams, found }).toEqual({
        name: method.name,
        streams: row?.requestStreaming,
        found: [],
      });
    }
  });
});
