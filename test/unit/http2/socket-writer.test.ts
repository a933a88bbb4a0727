import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { SocketWriter } from '../../../src/http2/socket-writer.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';

/** A socket that takes a write only when it is told to. */
class SlowSocket extends Duplex {
  readonly writes: string[] = [];
  readonly #waiting: (() => void)[] = [];

  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk.toString());
    this.#waiting.push(done);
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(chunks.map(({ chunk }) => chunk.toString()).join('|'));
    this.#waiting.push(done);
  }
  complete(): void {
    this.#waiting.shift()?.();
  }
}

function writer() {
  const socket = new SlowSocket();
  const turn = new Turn(systemClock);
  const log: string[] = [];
  let out = 0;
  const buffers = {
    take: () => {
      out++;
      return Buffer.allocUnsafeSlow(65_536);
    },
    give: () => {
      out--;
    },
  };
  const output = new SocketWriter(socket, turn, buffers, {
    onTaken: ({ counts }) => log.push(`taken ${counts.join(' ')}`),
    onRoom: () => log.push('room'),
    onWriting: () => {},
  });
  const put = (text: string): void => {
    const at = output.reserve(text.length);
    output.commit(at + output.buffer.write(text, at, 'latin1'));
  };
  return { socket, turn, output, put, log, buffersOut: () => out };
}

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a socket writer', () => {
  test('makes one write of all that was put in one turn', async () => {
    const { socket, put } = writer();
    put('a');
    put('b');
    put('c');
    expect(socket.writes).toEqual([]);
    await immediate();
    expect(socket.writes).toEqual(['abc']);
  });

  test('passes large chunks along in their place', async () => {
    const { socket, put, output } = writer();
    put('header');
    output.pass(Buffer.from('large'));
    put('after');
    await immediate();
    expect(socket.writes).toEqual(['header|large|after']);
  });

  test('does not write while a write is under way, and gives its buffers back', async () => {
    const { socket, put, log, output, buffersOut } = writer();
    put('one');
    output.note({}, 3);
    await immediate();
    put('two');
    put('three');
    output.note({}, 5);
    await immediate();
    expect(socket.writes).toEqual(['one']);
    expect(buffersOut()).toBe(2);
    socket.complete();
    await immediate();
    await immediate();
    expect(socket.writes).toEqual(['one', 'twothree']);
    expect(log).toEqual(['taken 3', 'room']);
    socket.complete();
    await immediate();
    expect(log).toEqual(['taken 3', 'room', 'taken 5', 'room']);
    expect(buffersOut()).toBe(0);
  });

  test('never writes past a gate that is shut', async () => {
    const { socket, put, turn } = writer();
    let open = false;
    turn.setGate(() => open);
    put('one');
    await immediate();
    put('two');
    await immediate();
    expect(socket.writes).toEqual([]);
    open = true;
    turn.release();
    expect(socket.writes).toEqual(['onetwo']);
  });

  test('passes the gate for what was put while a write was under way', async () => {
    const { socket, put, turn } = writer();
    let open = true;
    turn.setGate(() => open);
    put('one');
    await immediate();
    put('two');
    open = false;
    socket.complete();
    await immediate();
    await immediate();
    expect(socket.writes).toEqual(['one']);
    open = true;
    turn.release();
    expect(socket.writes).toEqual(['one', 'two']);
  });

  test('ends the socket behind the last output', async () => {
    const { socket, put, output } = writer();
    put('last');
    output.end();
    await immediate();
    expect([socket.writes, socket.writableEnded]).toEqual([['last'], false]);
    socket.complete();
    await immediate();
    await immediate();
    expect(socket.writableEnded).toBe(true);
  });

  test('is full at four output buffers, at one while a write is under way, and gives everything back', async () => {
    const { socket, put, output, buffersOut } = writer();
    const fill = (bytes: number): void => put('x'.repeat(bytes));
    for (let index = 0; index < 3; index++) fill(65_536);
    fill(65_535);
    expect(output.isFull).toBe(false);
    fill(1);
    expect(output.isFull).toBe(true);
    await immediate();
    fill(65_535);
    expect(output.isFull).toBe(false);
    fill(1);
    expect(output.isFull).toBe(true);
    expect(buffersOut()).toBe(5);
    output.close();
    socket.complete();
    await immediate();
    expect(buffersOut()).toBe(0);
  });
});
