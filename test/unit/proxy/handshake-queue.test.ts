import { Socket } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { HandshakeQueue } from '../../../src/proxy/handshake-queue.ts';
import { eventually } from '../../fakes/hostile-ground.ts';

/** A queue whose handshakes take `takesMs` of a clock that otherwise stands still, and say their names when they begin. */
function queueOf(settings: { readonly takesMs?: number; readonly share?: number; readonly busy?: boolean } = {}) {
  const { takesMs = 0, share = 1, busy = false } = settings;
  const names = new Map<Socket, string>();
  const begun: string[] = [];
  const clock = { now: 0, busy };
  const queue = new HandshakeQueue({
    begin: (socket) => {
      begun.push(names.get(socket) ?? '');
      clock.now += takesMs;
    },
    isBusy: () => clock.busy,
    share: () => share,
    now: () => clock.now,
  });
  const add = (name: string, address = '192.0.2.1'): Socket => {
    const socket = new Socket();
    names.set(socket, name);
    queue.add(socket, address);
    return socket;
  };
  return { queue, begun, clock, add };
}

describe('handshakes that have said hello', () => {
  it('begin at once when nobody else has in this turn', async () => {
    const { begun, add } = queueOf();
    add('one');
    expect(begun).toEqual(['one']);
    await turn();
    add('two');
    expect(begun).toEqual(['one', 'two']);
  });

  it('begin one in each turn of the event loop', async () => {
    const { queue, begun, add } = queueOf();
    for (const name of ['one', 'two', 'three']) add(name);
    expect(begun).toEqual(['one']);
    await turn();
    expect(begun).toEqual(['one', 'two']);
    await turn();
    expect(begun).toEqual(['one', 'two', 'three']);
    expect(queue.waiting).toBe(0);
  });

  it('take turns by address, so that one that floods waits for itself', async () => {
    const { begun, add } = queueOf();
    for (let index = 0; index < 10; index++) add(`flood ${index}`);
    add('honest', '192.0.2.2');
    add('honest too', '192.0.2.2');
    for (let index = 0; index < 4; index++) await turn();
    expect(begun).toEqual(['flood 0', 'flood 1', 'honest', 'flood 2', 'honest too']);
  });

  it('take turns by IPv6 network, within which a flood has as many addresses as it likes', async () => {
    const { queue, begun, add } = queueOf();
    for (let index = 0; index < 10; index++) add(`flood ${index}`, `2001:db8::${index}`);
    const left = add('honest, and gone', '2001:db8:0:1::1');
    add('honest', '2001:db8:0:1::1');
    queue.remove(left, '2001:db8:0:1::1');
    for (let index = 0; index < 3; index++) await turn();
    expect(begun).toEqual(['flood 0', 'flood 1', 'honest', 'flood 2']);
  });

  it('are forgotten when they leave before their turn', async () => {
    const { queue, begun, add } = queueOf();
    add('one');
    const two = add('two');
    add('three');
    queue.remove(two, '192.0.2.1');
    queue.remove(two, '192.0.2.1');
    expect(queue.waiting).toBe(1);
    await turn();
    await turn();
    expect(begun).toEqual(['one', 'three']);
  });

  it('go on with the next one when one fails', async () => {
    const begun: string[] = [];
    const failing = new Socket();
    const queue = new HandshakeQueue({
      begin: (socket) => {
        begun.push(socket === failing ? 'failing' : 'next');
        if (socket === failing) throw new Error('no context');
      },
      isBusy: () => false,
      share: () => 1,
    });
    expect(() => queue.add(failing, '192.0.2.1')).toThrow('no context');
    queue.add(new Socket(), '192.0.2.1');
    await turn();
    expect(begun).toEqual(['failing', 'next']);
  });
});

describe('the share of the time that handshakes may take', () => {
  it('is theirs while calls run, and not a millisecond more', async () => {
    const { begun, clock, add } = queueOf({ takesMs: 2, share: 0.1, busy: true });
    add('one');
    add('two');
    // The first began at 0: the second may at 20.
    clock.now = 19;
    await delay(5);
    expect(begun).toEqual(['one']);
    clock.now = 20;
    await eventually('the second', () => begun.length === 2);
  });

  it('is all of it while none do', async () => {
    const { begun, add } = queueOf({ takesMs: 2, share: 0.1, busy: false });
    add('one');
    add('two');
    await turn();
    expect(begun).toEqual(['one', 'two']);
  });

  it('counts from the last one on, also when none waited', async () => {
    const { begun, clock, add } = queueOf({ takesMs: 2, share: 0.1, busy: true });
    add('one');
    await turn();
    clock.now = 19;
    add('two');
    expect(begun).toEqual(['one']);
    clock.now = 20;
    await eventually('the second', () => begun.length === 2);
  });

  it('keeps nobody out for longer than a tenth of a second at a time, however long one has taken', async () => {
    const { begun, clock, add } = queueOf({ takesMs: 5_000, share: 0.01, busy: true });
    add('one');
    add('two');
    clock.now = 5_000 + 100;
    await eventually('the second', () => begun.length === 2);
  });
});
