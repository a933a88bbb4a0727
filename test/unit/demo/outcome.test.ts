import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { failed } from '../../../src/demo/outcome.ts';
import { trailersOnly } from '../../../src/grpc/status-reply.ts';
import type { Denial } from '../../../src/kernel/denial.ts';

/** What grpc-js makes of the sidecar's answer to a denial. */
function errorOf(denial: Denial): ServiceError {
  const metadata = new Metadata();
  const { block } = trailersOnly(denial, 'acme');
  let code: status = status.UNKNOWN;
  for (let at = 0; at < block.length; at += 2) {
    const [name, value] = [block[at] ?? '', block[at + 1] ?? ''];
    if (name === 'grpc-status') code = Number(value);
    else if (name.endsWith('-bin')) metadata.add(name, Buffer.from(value, 'base64'));
    else if (!name.startsWith(':')) metadata.add(name, value);
  }
  return Object.assign(new Error('refused'), { code, details: 'refused', metadata });
}

describe('failed', () => {
  it('reads the reason and the retry time out of the status’ details', () => {
    const limit = { callsPerSecond: 5, burst: 10 };
    const outcome = failed(errorOf({ kind: 'rate_limited', scope: 'caller', limit, retryAfterMs: 1_200 }), 3);
    expect(outcome).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'RATE_LIMITED',
      retryAfterMs: 1_200,
      elapsedMs: 3,
    });
    expect(outcome.pushbackMs).toBeGreaterThanOrEqual(1_200);
  });

  it('reads a reason without a retry time', () => {
    const outcome = failed(errorOf({ kind: 'model_denied', method: 'm', model: 'digits', version: '' }), 0);
    expect(outcome).toMatchObject({
      code: 'PERMISSION_DENIED',
      reason: 'MODEL_ACCESS_DENIED',
      retryAfterMs: undefined,
    });
  });

  it('takes an error without details as it is', () => {
    const error = Object.assign(new Error('x'), {
      code: status.UNAVAILABLE,
      details: 'no connection',
      metadata: new Metadata(),
    });
    expect(failed(error, 0)).toMatchObject({ code: 'UNAVAILABLE', reason: '', message: 'no connection' });
  });
});
