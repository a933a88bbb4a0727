import { describe, expect, it } from 'vitest';
import type { Stream } from '../../../src/http2/contract.ts';
import { type Bounded, CallBoundary } from '../../../src/proxy/call-boundary.ts';

/** A call whose every reaction throws. */
class PoisonedCall implements Bounded {
  readonly faults: unknown[] = [];
  faultThrows = false;
  onHeaders = poison;
  onData = poison;
  onReset = poison;
  onWritten = poison;
  onLocalEnd = poison;
  unfinishedMessage = poison;
  expire = poison;
  shed = poison;
  heldBytes = 0;
  lease = undefined;
  lapse = poison;
  review = poison;
  upstreamHeaders = poison;
  onResponseHeaders = poison;
  onResponseData = poison;
  onRequestTaken = poison;
  onLegFailed = poison;

  fault(cause: unknown): void {
    this.faults.push(cause);
    if (this.faultThrows) poison();
  }
}

function poison(): never {
  throw new RangeError('poison');
}

// No method of it is reached: the call throws first.
const STREAM = {} as Stream;
const CHUNK = Buffer.from('x');

const REACTIONS: readonly (readonly [string, (edge: CallBoundary) => void])[] = [
  ['request trailers', (edge) => edge.onHeaders(STREAM, [], true)],
  ['request DATA', (edge) => edge.onData(STREAM, CHUNK, false)],
  ['a reset', (edge) => edge.onReset(STREAM, { by: 'peer', code: 8 })],
  ['written bytes', (edge) => edge.onWritten(STREAM, 1)],
  ['the end of the reply', (edge) => edge.onLocalEnd(STREAM)],
  ['the deadline', (edge) => edge.expire()],
  ['the ceiling', (edge) => edge.shed({ kind: 'buffer_exceeded', heldBytes: 2, limitBytes: 1 })],
  ["the lease's end", (edge) => edge.lapse({ kind: 'draining' })],
  ['a review', (edge) => edge.review()],
  ['response headers', (edge) => edge.onResponseHeaders([], false)],
  ['response DATA', (edge) => edge.onResponseData(CHUNK, false)],
  ['taken bytes', (edge) => edge.onRequestTaken(1)],
  ["the leg's failure", (edge) => edge.onLegFailed({ kind: 'draining' })],
];

describe("a call's boundary", () => {
  it.each(REACTIONS)('ends the call that throws at %s, and the engine hears nothing of it', (_name, react) => {
    const call = new PoisonedCall();
    react(new CallBoundary(call));
    expect(call.faults).toEqual([new RangeError('poison')]);
  });

  it.each(REACTIONS)('holds for a call that cannot even end, at %s', (_name, react) => {
    const call = new PoisonedCall();
    call.faultThrows = true;
    expect(() => react(new CallBoundary(call))).not.toThrow();
    expect(call.faults).toHaveLength(1);
  });
});
