import { describe, expect, it } from 'vitest';
import { Circuit } from '../../../src/proxy/circuit.ts';

const CONFIG = { failures: 3, openMs: 1_000, maxOpenMs: 4_000 };
/** The middle of the jitter: times are as configured. */
const MIDDLE = 0.5;

/** A circuit that has just opened, at 0. */
function opened(random = MIDDLE): Circuit {
  const circuit = new Circuit(CONFIG);
  for (let i = 0; i < 3; i++) circuit.failed(false, 0, random);
  return circuit;
}

describe('a circuit', () => {
  it('is closed when the server is known to be well, and counts anew', () => {
    const circuit = opened();
    circuit.reset();
    expect(circuit.enter(0)).toBe('pass');
    circuit.failed(false, 0, MIDDLE);
    circuit.failed(false, 0, MIDDLE);
    expect(circuit.enter(0)).toBe('pass');
  });

  it('opens at the last of so many failures in a row, not before', () => {
    const circuit = new Circuit(CONFIG);
    circuit.failed(false, 0, MIDDLE);
    circuit.failed(false, 0, MIDDLE);
    expect(circuit.enter(0)).toBe('pass');
    circuit.succeeded(false);
    circuit.failed(false, 0, MIDDLE);
    circuit.failed(false, 0, MIDDLE);
    expect(circuit.enter(0)).toBe('pass');
    circuit.failed(false, 0, MIDDLE);
    expect(circuit.enter(0)).toEqual({ retryAfterMs: 1_000 });
  });

  it('lets one call see when the time is over, and refuses the others meanwhile', () => {
    const circuit = opened();
    expect(circuit.enter(999)).toEqual({ retryAfterMs: 1 });
    expect(circuit.enter(1_000)).toBe('probe');
    expect(circuit.enter(1_001)).toEqual({ retryAfterMs: 999 });
    circuit.succeeded(true);
    expect(circuit.enter(1_002)).toBe('pass');
  });

  it('stays open for twice as long each time that the call fails, up to its limit', () => {
    const circuit = opened();
    let now = 1_000;
    for (const openMs of [2_000, 4_000, 4_000]) {
      expect(circuit.enter(now)).toBe('probe');
      circuit.failed(true, now, MIDDLE);
      expect(circuit.enter(now + openMs - 1)).toEqual({ retryAfterMs: 1 });
      now += openMs;
    }
    expect(circuit.enter(now)).toBe('probe');
    circuit.succeeded(true);
    // And begins anew.
    for (let i = 0; i < 3; i++) circuit.failed(false, now, MIDDLE);
    expect(circuit.enter(now)).toEqual({ retryAfterMs: 1_000 });
  });

  it.each([
    [0, 500],
    [1, 1_500],
  ])('opens for half as long or half as long again, as chance has it (%d: %d ms)', (random, ms) => {
    expect(opened(random).enter(0)).toEqual({ retryAfterMs: ms });
  });

  it('hears nothing from calls that began before it opened', () => {
    const circuit = opened();
    circuit.succeeded(false);
    circuit.failed(false, 500, MIDDLE);
    expect(circuit.enter(999)).toEqual({ retryAfterMs: 1 });
    expect(circuit.enter(1_000)).toBe('probe');
    circuit.failed(false, 1_000, MIDDLE);
    circuit.succeeded(false);
    expect(circuit.enter(1_500)).toEqual({ retryAfterMs: 500 });
  });

  it('sends another when the one that went ahead has no verdict, or none for long', () => {
    const left = opened();
    expect(left.enter(1_000)).toBe('probe');
    left.abandoned(1_100);
    expect(left.enter(1_100)).toBe('probe');
    expect(left.enter(2_099)).toEqual({ retryAfterMs: 1 });
    expect(left.enter(2_100)).toBe('probe');
  });
});
