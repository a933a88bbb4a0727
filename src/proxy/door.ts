/**
 * How many may be at the listener's door and behind it: connections that are shaking hands, and those of one tenant and one
 * address. Whoever presses against one of these limits keeps itself out, and nobody else.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { LimitsConfig } from '../config/generation.ts';
import { networkOf } from '../kernel/address-range.ts';

export type DoorRefusal = 'CONNECTION_LIMIT_TENANT' | 'CONNECTION_LIMIT_ADDRESS';

type DoorLimits = Pick<LimitsConfig, 'maxHandshakes' | 'maxConnectionsPerTenant' | 'maxConnectionsPerAddress'>;

export class Door {
  /** With the network of the address at the other end. */
  readonly #shaking = new Map<Socket, string>();
  /** The same by network; oldest first. None is empty. */
  readonly #lines = new Map<string, Set<Socket>>();
  readonly #byAddress = new Map<string, number>();
  readonly #answered: () => void;

  /** `answered` is told each time that a handshake is over. */
  constructor(answered: () => void = () => undefined) {
    this.#answered = answered;
  }

  /** Handshakes in progress. */
  get handshakes(): number {
    return this.#shaking.size;
  }

  /**
   * A handshake begins. Returns the one that must give way when there are too many: of the network that has the most, the oldest,
   * since an honest one takes milliseconds. A flood of slow ones then crowds out itself, also from all the addresses of an IPv6 network.
   */
  knock(socket: Socket, address: string, limits: DoorLimits): Socket | undefined {
    const network = networkOf(address);
    this.#shaking.set(socket, network);
    const line = this.#lines.get(network);
    if (line === undefined) this.#lines.set(network, new Set([socket]));
    else line.add(socket);
    socket.once('close', () => this.answered(socket));
    if (this.#shaking.size <= limits.maxHandshakes) return undefined;
    return this.#crowdOut();
  }

  /** The handshake is over, one way or the other. */
  answered(socket: Socket): void {
    if (this.#remove(socket)) this.#answered();
  }

  #crowdOut(): Socket | undefined {
    let longest = new Set<Socket>();
    for (const line of this.#lines.values()) if (line.size > longest.size) longest = line;
    const [oldest] = longest;
    if (oldest !== undefined) this.#remove(oldest);
    return oldest;
  }

  #remove(socket: Socket): boolean {
    const network = this.#shaking.get(socket);
    if (network === undefined) return false;
    this.#shaking.delete(socket);
    const line = this.#lines.get(network);
    line?.delete(socket);
    if (line?.size === 0) this.#lines.delete(network);
    return true;
  }

  /** A peer wants in whose tenant has so many connections already. Says why it may not; if it may, it must `leave` later. */
  enter(address: string, tenantConnections: number, limits: DoorLimits): DoorRefusal | undefined {
    if (tenantConnections >= limits.maxConnectionsPerTenant) return 'CONNECTION_LIMIT_TENANT';
    const connections = this.#byAddress.get(address) ?? 0;
    if (connections >= limits.maxConnectionsPerAddress) return 'CONNECTION_LIMIT_ADDRESS';
    this.#byAddress.set(address, connections + 1);
    return undefined;
  }

  /** A peer that had entered has left. */
  leave(address: string): void {
    const connections = this.#byAddress.get(address) ?? 0;
    if (connections > 1) this.#byAddress.set(address, connections - 1);
    else this.#byAddress.delete(address);
  }
}

/** The socket under a TLS socket. Its parent is the only way back to it that Node has. */
export function acceptedSocket(socket: TLSSocket): Socket | undefined {
  const parent: unknown = Reflect.get(socket, '_parent');
  return parent instanceof Socket ? parent : undefined;
}
