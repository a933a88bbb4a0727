import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Denial } from '../../../src/kernel/denial.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import type { Leased } from '../../../src/proxy/call-boundary.ts';
import { LeaseWatch } from '../../../src/proxy/lease-watch.ts';

const DENIAL: Denial = { kind: 'authorization_expired', why: 'lease', credential: 'certificate' };

let now = 0;
let calls: Lease[] = [];

class Lease implements Leased {
  readonly lease: Leased['lease'];
  lapsedAt: number | undefined;

  constructor(until: number | undefined) {
    this.lease = until === undefined ? undefined : { until: until * 1000, denial: DENIAL };
  }

  lapse(): void {
    this.lapsedAt = now / 1000;
    calls = calls.filter((call) => call !== this);
  }
}

function pass(ms: number): void {
  for (let i = 0; i < ms; i += 1) {
    now += 1000;
    vi.advanceTimersByTime(1);
  }
}

function watching(...leases: readonly Lease[]): LeaseWatch {
  calls = [...leases];
  const watch = new LeaseWatch(
    () => now as EpochMicros,
    () => calls,
  );
  for (const { lease } of leases) watch.note(lease?.until ?? Number.POSITIVE_INFINITY);
  return watch;
}

describe('the watch over leases', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    now = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ends each call at its own end, not before it, and one without an end never', () => {
    const leases = [new Lease(300), new Lease(100), new Lease(undefined), new Lease(100)] as const;
    watching(...leases);
    pass(99);
    expect(leases.map((call) => call.lapsedAt)).toEqual([undefined, undefined, undefined, undefined]);
    pass(250);
    expect(leases.map((call) => call.lapsedAt)).toEqual([300, 100, undefined, 100]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not led astray by a call that has ended by itself', () => {
    const [first, later] = [new Lease(100), new Lease(200)];
    watching(first, later);
    calls = [later];
    pass(250);
    expect([first.lapsedAt, later.lapsedAt]).toEqual([undefined, 200]);
  });

  it('looks no later than every minute, and ends a call that is far away at its end all the same', () => {
    const far = new Lease(150_000);
    watching(far);
    pass(150_000);
    expect(far.lapsedAt).toBe(150_000);
  });

  it('is over with its connection', () => {
    const call = new Lease(100);
    const watch = watching(call);
    watch.stop();
    watch.note(50_000);
    pass(200);
    expect(call.lapsedAt).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });
});
