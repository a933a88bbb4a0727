import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import type { Stream } from '../../../src/http2/contract.ts';
import { CALL_BYTES, HeldBytes } from '../../../src/proxy/held-bytes.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';

/** Counts the window that it is given. */
class Window {
  remoteEnded = false;
  given = 0;

  credit(bytes: number): void {
    this.given += bytes;
  }
}

interface Ground {
  readonly account: ByteAccount;
  readonly client: Window;
  readonly leg: Window;
  readonly held: HeldBytes;
  readonly standing: () => number;
}

function ground(limitBytes = 1_000): Ground {
  const tables = attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0);
  const account = new ByteAccount(tables, 0, limitBytes);
  const client = new Window();
  // Of a stream it needs these two alone.
  const held = new HeldBytes(account, client as unknown as Stream);
  return { account, client, leg: new Window(), held, standing: () => tables.heldBytes(0) - tables.bytesInFlight(0) };
}

describe('the bytes that a call holds', () => {
  it('are charged when they arrive and given back, with the window, when they have moved on', () => {
    const { account, client, leg, held } = ground();
    held.requestArrived(10);
    held.responseArrived(7);
    expect([account.used, client.given, leg.given]).toEqual([17, 0, 0]);
    held.requestTaken(4);
    held.responseWritten(2, leg);
    expect([account.used, client.given, leg.given]).toEqual([11, 4, 2]);
  });

  it('owe nobody a window for what rewriting has made of them, and a window for what it has taken away', () => {
    const { account, client, leg, held } = ground();
    held.requestArrived(10);
    held.requestGrew(5);
    held.responseArrived(10);
    held.responseGrew(3, leg);
    expect([account.used, client.given, leg.given]).toEqual([28, 0, 0]);
    held.requestTaken(15);
    held.responseWritten(13, leg);
    expect([account.used, client.given, leg.given]).toEqual([0, 10, 10]);
    // Held back: it comes out again later, longer.
    held.requestArrived(10);
    held.requestGrew(-10);
    held.responseArrived(10);
    held.responseGrew(-10, leg);
    expect([account.used, client.given, leg.given]).toEqual([0, 20, 20]);
    held.requestGrew(12);
    held.responseGrew(12, leg);
    held.requestTaken(6);
    expect([account.used, client.given, leg.given]).toEqual([18, 20, 20]);
    held.giveBack(leg);
    expect([account.used, client.given, leg.given]).toEqual([0, 20, 20]);
  });

  it('are all given back at its end, and once', () => {
    const { account, client, leg, held } = ground();
    held.requestArrived(10);
    held.responseArrived(7);
    held.responseWritten(3, leg);
    held.giveBack(leg);
    held.giveBack(leg);
    expect([account.used, client.given, leg.given]).toEqual([0, 10, 7]);
  });

  it('hold the window back at the account’s limit, but not from a client that sends nothing more', () => {
    const { account, client, leg, held } = ground(10);
    account.charge(10);
    held.requestArrived(2);
    held.responseArrived(2);
    held.requestTaken(1);
    held.responseWritten(1, leg);
    expect([client.given, leg.given]).toEqual([0, 0]);
    client.remoteEnded = true;
    held.requestTaken(1);
    expect(client.given).toBe(1);
  });

  it('stand beside what the call itself is: its records, headers and inflaters, which end with it at the latest', () => {
    const { account, held, standing } = ground(CALL_BYTES);
    held.began([':path', '/a', 'x', 'yz']);
    expect([held.bytes, standing()]).toEqual([CALL_BYTES + 10, CALL_BYTES + 10]);
    held.hold(100);
    held.requestArrived(7);
    expect([held.bytes, standing(), account.used]).toEqual([CALL_BYTES + 117, CALL_BYTES + 110, 7]);
    // What stands does not move on by itself, and so keeps nobody else's bytes from moving.
    expect(account.full).toBe(false);
    held.letGo(100);
    held.hold(50);
    held.giveBack(undefined);
    held.letGo(50);
    expect([held.bytes, standing(), account.used]).toEqual([0, 0, 0]);
  });

  it('leave nothing of an ended call waiting for an account that stays full', () => {
    const { account, client, leg, held } = ground(10);
    const waiting = new Set<() => void>();
    account.whenRelieved = (callback) => waiting.add(callback);
    account.forget = (callback) => waiting.delete(callback);
    account.charge(10);
    held.requestArrived(5);
    held.responseArrived(4);
    held.requestTaken(2);
    held.responseWritten(1, leg);
    expect(waiting.size).toBe(2);
    held.giveBack(leg);
    expect(waiting.size).toBe(0);
    // The windows of their connections must not shrink by it.
    expect([client.given, leg.given]).toEqual([5, 4]);
  });

  it('are given back without a leg, too', () => {
    const { account, held } = ground();
    held.responseArrived(5);
    held.responseWritten(1, undefined);
    held.giveBack(undefined);
    expect(account.used).toBe(0);
  });
});
