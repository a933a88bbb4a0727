/**
 * Whose handshake begins next, and when: handshakes share the thread with everybody's calls, and each costs as much as several of them.
 *
 * The beginning of a handshake, with the signature of ours, is one piece that nothing interrupts. In one turn of the event loop there is
 * one, so that what the sockets of others have brought comes between any two. While calls run, beginnings together take no more than
 * their share of the thread's time; while none do, a crowd that comes back after a restart has the thread for itself. Addresses take
 * turns, those of an IPv6 network of 64 bits as one: who knocks ever again waits for itself, and not for it those who come from elsewhere.
 */
import type { Socket } from 'node:net';
import { networkOf } from '../kernel/address-range.ts';

export interface HandshakeQueueOptions {
  /** Begins the handshake of a socket that has sent its hello, up to where the client is to speak again. */
  begin(socket: Socket): void;
  /** Whether somebody would wait for it: calls run. */
  isBusy(): boolean;
  /** Of the thread's time while calls run: above 0, at most 1. */
  share(): number;
  /** Milliseconds of a clock that only moves forward; default: the process's. */
  readonly now?: () => number;
}

export class HandshakeQueue {
  readonly #options: HandshakeQueueOptions;
  readonly #now: () => number;
  /** By the network of the address; whose turn it is comes first. None is empty. */
  readonly #lines = new Map<string, Set<Socket>>();
  /** When the last one began, and what that took, in milliseconds. */
  #beganAt = Number.NEGATIVE_INFINITY;
  #took = 0;
  /** One has begun in this turn, or something will look again. */
  #resting = false;

  constructor(options: HandshakeQueueOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Handshakes that wait for their turn. */
  get waiting(): number {
    let waiting = 0;
    for (const line of this.#lines.values()) waiting += line.size;
    return waiting;
  }

  /** A client at this address has said hello. Its handshake begins at once, or in its turn unless it leaves before. */
  add(socket: Socket, address: string): void {
    const network = networkOf(address);
    const line = this.#lines.get(network);
    if (line === undefined) this.#lines.set(network, new Set([socket]));
    else line.add(socket);
    if (!this.#resting) this.#go();
  }

  /** It has left. */
  remove(socket: Socket, address: string): void {
    const network = networkOf(address);
    const line = this.#lines.get(network);
    if (line?.delete(socket) === true && line.size === 0) this.#lines.delete(network);
  }

  #go(): void {
    this.#resting = false;
    if (this.#lines.size === 0) return;
    this.#resting = true;
    const restMs = this.#restMs();
    if (restMs > 0) {
      setTimeout(() => this.#go(), restMs);
      return;
    }
    setImmediate(() => this.#go());
    const next = this.#next();
    if (next === undefined) return;
    this.#beganAt = this.#now();
    try {
      this.#options.begin(next);
    } finally {
      this.#took = this.#now() - this.#beganAt;
    }
  }

  /** How long calls have the thread before the next one may begin. */
  #restMs(): number {
    if (!this.#options.isBusy()) return 0;
    return this.#beganAt + Math.min(this.#took / this.#options.share(), MAX_REST_MS) - this.#now();
  }

  /** The network whose turn it was goes behind all others. */
  #next(): Socket | undefined {
    for (const [network, line] of this.#lines) {
      this.#lines.delete(network);
      for (const socket of line) {
        line.delete(socket);
        if (line.size > 0) this.#lines.set(network, line);
        return socket;
      }
    }
    return undefined;
  }
}

/** A clock that jumped, or a thread that was stopped amid a handshake, keeps nobody out for longer. */
const MAX_REST_MS = 100;
