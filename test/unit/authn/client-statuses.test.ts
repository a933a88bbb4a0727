import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ClientStatuses, STATUS_RETRY_MS } from '../../../src/authn/client-statuses.ts';
import type { CertificateStatus, StatusQuestion } from '../../../src/authn/ocsp-exchange.ts';
import { tenantId } from '../../fakes/trust.ts';

const acme = tenantId('acme');
const question: StatusQuestion = { tenant: acme, id: 'a', certificate: new Uint8Array(), issuer: new Uint8Array() };
let asked: number;
let changes: string[];
let statuses: ClientStatuses;
beforeEach(() => {
  vi.useFakeTimers();
  [asked, changes] = [0, []];
  statuses = new ClientStatuses({ ask: () => (asked += 1), changed: (tenant, id) => changes.push(`${tenant} ${id}`) });
});
afterEach(() => {
  statuses.close();
  vi.useRealTimers();
});
const good = (forMs = 60_000): CertificateStatus => {
  const now = Date.now();
  return { status: 'good', thisUpdateMs: now, heardAtMs: now, untilMs: now + forMs };
};
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('what is known of clients', () => {
  it('is asked for once, and is there for whoever holds on to it', async () => {
    const [one, other] = [statuses.hold(question, 1_000), statuses.hold(question, 1_000)];
    expect(asked).toBe(1);
    statuses.take(acme, 'a', good());
    await Promise.all([one.settled, other.settled]);
    expect(statuses.hold(question, 1_000).settled).toBeUndefined();
    one.release();
    one.release();
    expect(statuses.status(acme, 'a')).toMatchObject({ status: 'good' });
    expect(statuses.status(tenantId('globex'), 'a')).toBeUndefined();
  });

  it('is forgotten with the last who held on to it', () => {
    const one = statuses.hold(question, 1_000);
    statuses.take(acme, 'a', good());
    one.release();
    expect([statuses.size, statuses.status(acme, 'a'), vi.getTimerCount()]).toEqual([0, undefined, 0]);
    statuses.take(acme, 'a', good());
    expect(statuses.size).toBe(0);
  });

  it('is waited for no longer than one wants', async () => {
    const { settled } = statuses.hold(question, 1_000);
    let done = false;
    void settled?.then(() => (done = true));
    await pass(999);
    expect(done).toBe(false);
    await pass(1);
    expect([done, statuses.status(acme, 'a')]).toEqual([
      true,
      { status: 'none', why: 'no OCSP responder has answered within 1000 ms' },
    ]);
    await pass(STATUS_RETRY_MS);
    expect(asked).toBe(2);
  });

  it('is asked for again a little after half of its time', async () => {
    statuses.hold(question, 1_000);
    statuses.take(acme, 'a', good());
    await pass(32_999);
    expect(asked).toBe(1);
    await pass(1);
    expect(asked).toBe(2);
  });

  it('stays as it was said until that ends when nobody says anything newer', async () => {
    statuses.hold(question, 1_000);
    statuses.take(acme, 'a', good());
    statuses.take(acme, 'a', { status: 'none', why: 'away' });
    expect(statuses.status(acme, 'a')).toMatchObject({ status: 'good' });
    await pass(60_000);
    statuses.take(acme, 'a', { status: 'none', why: 'away' });
    expect(statuses.status(acme, 'a')).toEqual({ status: 'none', why: 'away' });
  });

  it('is not taken back by what was said earlier and comes later', () => {
    statuses.hold(question, 1_000);
    const before = good();
    vi.advanceTimersByTime(1_000);
    const now = Date.now();
    const revoked: CertificateStatus = { status: 'revoked', thisUpdateMs: now, heardAtMs: now, untilMs: now + 60_000 };
    statuses.take(acme, 'a', revoked);
    statuses.take(acme, 'a', before);
    expect([statuses.status(acme, 'a'), changes]).toEqual([revoked, ['acme a']]);
    vi.advanceTimersByTime(1_000);
    statuses.take(acme, 'a', good());
    expect([statuses.status(acme, 'a')?.status, changes.length]).toEqual(['good', 2]);
  });

  it('has what it is about judged anew when it is another or ends at another time, and not when it is said again', async () => {
    statuses.hold(question, 1_000);
    const status = good();
    for (let i = 0; i < 10; i += 1) statuses.take(acme, 'a', { ...status });
    expect(changes).toEqual(['acme a']);
    await pass(1);
    statuses.take(acme, 'a', good());
    expect(changes).toHaveLength(2);
    statuses.take(acme, 'a', { ...good(), status: 'revoked' } as CertificateStatus);
    expect(changes).toHaveLength(3);
    // Of nobody who is here.
    statuses.take(acme, 'b', good());
    expect(changes).toHaveLength(3);
  });

  it('that holds for a moment is asked for again before that ends', async () => {
    statuses.hold(question, 1_000);
    statuses.take(acme, 'a', good(1_000));
    await pass(549);
    expect(asked).toBe(1);
    await pass(1);
    expect(asked).toBe(2);
  });
});
