import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Door } from '../../../src/proxy/door.ts';

const limits = { maxHandshakes: 3, maxConnectionsPerTenant: 10, maxConnectionsPerAddress: 10 };

describe('whoever knocks when as many shake hands as may', () => {
  it('has the oldest of the address with the most give way, and not the oldest of all', () => {
    const door = new Door();
    const [honest, first, second, third] = [new Socket(), new Socket(), new Socket(), new Socket()];
    expect(door.knock(honest, '192.0.2.1', limits)).toBe(undefined);
    expect(door.knock(first, '192.0.2.2', limits)).toBe(undefined);
    expect(door.knock(second, '192.0.2.2', limits)).toBe(undefined);
    expect(door.knock(third, '192.0.2.2', limits)).toBe(first);
    expect(door.handshakes).toBe(3);
  });

  it('is one with all the addresses of its IPv6 network, which a single host has', () => {
    const door = new Door();
    const [honest, first, second, third] = [new Socket(), new Socket(), new Socket(), new Socket()];
    expect(door.knock(honest, '2001:db8:0:1::1', limits)).toBe(undefined);
    expect(door.knock(first, '2001:db8:0:2::1', limits)).toBe(undefined);
    expect(door.knock(second, '2001:db8:0:2:ffff::2', limits)).toBe(undefined);
    expect(door.knock(third, '2001:db8:0:2::3', limits)).toBe(first);
    expect(door.handshakes).toBe(3);
  });

  it('has nobody give way after one was answered', () => {
    let answered = 0;
    const door = new Door(() => answered++);
    const sockets = Array.from({ length: 4 }, () => new Socket());
    for (const socket of sockets.slice(0, 3)) door.knock(socket, '192.0.2.1', limits);
    const [first, second, , last] = sockets;
    if (first === undefined || second === undefined || last === undefined) throw new Error('four sockets');
    door.answered(first);
    door.answered(first);
    expect(answered).toBe(1);
    expect(door.knock(last, '192.0.2.1', limits)).toBe(undefined);
    expect(door.knock(new Socket(), '192.0.2.3', limits)).toBe(second);
  });
});
