import { describe, expect, it } from 'vitest';
import { type Observation, UpstreamHealth } from '../../../src/proxy/upstream-health.ts';

const SERVING: Observation = { kind: 'serving' };
const NO_SERVICE: Observation = { kind: 'no_service' };
const NOT_SERVING: Observation = { kind: 'not_serving', why: 'NOT_SERVING' };
const FAILED: Observation = { kind: 'failed', why: 'no answer within 1000 ms' };

const thresholds = { unhealthyThreshold: 3, healthyThreshold: 2 };

function after(...observations: readonly Observation[]): UpstreamHealth {
  const health = new UpstreamHealth(thresholds);
  for (const observation of observations) health.observe(observation);
  return health;
}

describe('the health of a model server', () => {
  it('is unknown at first, and is what its first answer says', () => {
    expect(after().now).toEqual({ at: 'unknown' });
    expect(after(SERVING).now).toEqual({ at: 'healthy' });
    expect(after(NO_SERVICE).now).toEqual({ at: 'no_service' });
    expect(after(NOT_SERVING).now).toEqual({ at: 'unhealthy', why: 'NOT_SERVING' });
  });

  it.each([
    ['unknown', []],
    ['healthy', [SERVING]],
    ['no_service', [NO_SERVICE]],
  ])('stays %s through failures to answer, one fewer than the threshold, and not through one more', (at, before) => {
    const health = after(...before, FAILED, FAILED);
    expect(health.now).toEqual({ at });
    expect(health.observe(FAILED)).toBe(true);
    expect(health.now).toEqual({ at: 'unhealthy', why: FAILED.why });
  });

  it('counts failures in a row only', () => {
    expect(after(SERVING, FAILED, FAILED, SERVING, FAILED, FAILED).now).toEqual({ at: 'healthy' });
  });

  it('takes the server’s own word for it at once', () => {
    const health = after(SERVING);
    expect(health.observe(NOT_SERVING)).toBe(true);
    expect(health.now).toEqual({ at: 'unhealthy', why: 'NOT_SERVING' });
  });

  it('is good again after so many good answers in a row, and not after one fewer', () => {
    const health = after(NOT_SERVING, SERVING, FAILED, SERVING);
    expect(health.now).toMatchObject({ at: 'unhealthy' });
    expect(health.recoveries).toBe(0);
    expect(health.observe(SERVING)).toBe(true);
    expect(health.now).toEqual({ at: 'healthy' });
    expect(health.recoveries).toBe(1);
    // And begins to count anew.
    health.observe(FAILED);
    health.observe(FAILED);
    expect(health.now).toEqual({ at: 'healthy' });
  });

  it('is good again also when the server has lost its health service', () => {
    expect(after(NOT_SERVING, NO_SERVICE, NO_SERVICE).now).toEqual({ at: 'no_service' });
  });

  it('has the latest reason for what does not change', () => {
    const health = after(NOT_SERVING);
    expect(health.observe(FAILED)).toBe(false);
    expect(health.now).toEqual({ at: 'unhealthy', why: FAILED.why });
    expect(after(SERVING).observe(SERVING)).toBe(false);
    expect(after(SERVING).observe(NO_SERVICE)).toBe(true);
  });
});
