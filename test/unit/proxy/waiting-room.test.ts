import { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MAX_WAITING_CLIENTS, WaitingRoom } from '../../../src/proxy/waiting-room.ts';
import { tenantId } from '../../fakes/trust.ts';

const [acme, globex] = [tenantId('acme'), tenantId('globex')];

describe('the room where clients wait', () => {
  it('has room for so many of a tenant, and not for one more, and for others all the same', async () => {
    let left = 0;
    const room = new WaitingRoom(() => (left += 1));
    const { promise, resolve } = Promise.withResolvers<void>();
    for (let i = 1; i < MAX_WAITING_CLIENTS; i += 1) void room.wait(acme, new Socket(), promise, () => undefined);
    expect(room.isFull(acme)).toBe(false);
    const last = room.wait(acme, new Socket(), promise, () => undefined);
    expect([room.isFull(acme), room.isFull(globex), room.size]).toEqual([true, false, MAX_WAITING_CLIENTS]);
    resolve();
    await last;
    await setImmediate();
    expect([room.isFull(acme), room.size, left]).toEqual([false, 0, MAX_WAITING_CLIENTS]);
  });

  it('counts a client until what follows has been done', async () => {
    let sizes: readonly number[] = [];
    const room: WaitingRoom = new WaitingRoom(() => (sizes = [...sizes, room.size]));
    await room.wait(acme, new Socket(), Promise.resolve(), () => (sizes = [...sizes, room.size]));
    expect(sizes).toEqual([1, 0]);
  });

  it('is left by who is gone, whether there is an answer or not', async () => {
    const room = new WaitingRoom(() => undefined);
    const socket = new Socket();
    let gone = false;
    const waiting = room.wait(acme, socket, new Promise(() => undefined), () => (gone = socket.destroyed));
    socket.destroy();
    await waiting;
    expect([gone, room.size, room.isFull(acme), socket.listenerCount('close')]).toEqual([true, 0, false, 0]);
  });
});
