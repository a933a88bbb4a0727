import { describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../../src/config/upstream-config.ts';
import type { Connection } from '../../../src/http2/contract.ts';
import { type Passage, UpstreamGuard } from '../../../src/proxy/upstream-guard.ts';
import type { Health } from '../../../src/proxy/upstream-health.ts';

const CONFIG: UpstreamConfig = {
  target: { kind: 'unix', path: '/model' },
  tls: undefined,
  display: 'unix:/model',
  connectTimeoutMs: 1,
  maxConnections: 1,
  maxPendingCalls: 1,
  authority: 'model',
};
const circuit = { failures: 2, openMs: 60_000, maxOpenMs: 60_000 };
const connection = (): Connection => ({}) as Connection;

function enter(guard: UpstreamGuard): Passage {
  const entered = guard.enter();
  if (!entered.ok) throw new Error(entered.error.kind);
  return entered.value;
}

describe('a guard', () => {
  it('lets so many calls through at once, and the next when one has left', () => {
    const guard = new UpstreamGuard({ ...CONFIG, maxConcurrentCalls: 2 }, () => 0.5);
    const first = enter(guard);
    enter(guard);
    expect(guard.enter()).toMatchObject({ error: { kind: 'overloaded' } });
    first.leave();
    first.leave();
    enter(guard);
    expect(guard.enter()).toMatchObject({ error: { kind: 'overloaded' } });
  });

  it('lets all through where nothing is set', () => {
    const guard = new UpstreamGuard(CONFIG, () => 0.5);
    for (let i = 0; i < 1_000; i++) enter(guard).failed();
    expect(guard.enter().ok).toBe(true);
  });

  it('closes the way when the model server has failed so many calls', () => {
    const guard = new UpstreamGuard({ ...CONFIG, circuit }, () => 0.5);
    enter(guard).failed();
    enter(guard).failed();
    expect(guard.enter()).toMatchObject({ error: { kind: 'circuit_open', upstream: 'unix:/model' } });
  });

  it('counts a connection that ends once, whatever the number of its calls', () => {
    const guard = new UpstreamGuard({ ...CONFIG, circuit }, () => 0.5);
    const ended = connection();
    const calls = Array.from({ length: 50 }, () => enter(guard));
    for (const call of calls) call.failed(ended);
    expect(guard.enter().ok).toBe(true);
    enter(guard).failed(connection());
    expect(guard.enter()).toMatchObject({ error: { kind: 'circuit_open' } });
  });

  it('lets nobody through to an unhealthy server, and all through as soon as it is well, whatever it failed before', () => {
    let now: Health = { at: 'unknown' };
    let recoveries = 0;
    let forgiven = 0;
    const watch = {
      get now(): Health {
        return now;
      },
      get recoveries(): number {
        return recoveries;
      },
      leave: () => undefined,
    };
    const guard = new UpstreamGuard({ ...CONFIG, circuit, maxConcurrentCalls: 3 }, () => 0.5, {
      watch,
      onRecovered: () => forgiven++,
    });
    const running = enter(guard);
    enter(guard).failed();
    enter(guard).failed();
    now = { at: 'unhealthy', why: 'NOT_SERVING' };
    expect(guard.enter()).toMatchObject({
      error: { kind: 'upstream_unavailable', upstream: 'unix:/model', why: 'unhealthy: NOT_SERVING' },
    });
    running.answered();
    running.leave();
    expect(forgiven).toBe(0);
    now = { at: 'healthy' };
    recoveries = 1;
    enter(guard);
    expect(forgiven).toBe(1);
    // Its other limits hold as before.
    expect(guard.enter()).toMatchObject({ error: { kind: 'overloaded' } });
    expect(forgiven).toBe(1);
  });

  it('takes a call’s first verdict, and none from one that leaves without', () => {
    const guard = new UpstreamGuard({ ...CONFIG, circuit }, () => 0.5);
    const answered = enter(guard);
    answered.answered();
    for (let i = 0; i < 10; i++) answered.failed();
    for (let i = 0; i < 10; i++) enter(guard).leave();
    const failed = enter(guard);
    for (let i = 0; i < 10; i++) failed.failed();
    failed.answered();
    expect(guard.enter().ok).toBe(true);
  });
});
