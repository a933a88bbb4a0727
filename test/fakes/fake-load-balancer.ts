/**
 * A load balancer of TCP: says first whose connection it passes on, and then passes it on, byte by byte.
 */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

export interface Balancing {
  /** What it says before the client's first bytes. */
  readonly header: Buffer;
  /** `joined`: in one piece with the client's first bytes; `apart`: before them; a number: in pieces of so many octets. */
  readonly sent: 'joined' | 'apart' | number;
  /** Its own address; default: 127.0.0.1. */
  readonly from?: string;
}

export class FakeLoadBalancer {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = port;
  }

  static async start(target: () => number, balancing: () => Balancing): Promise<FakeLoadBalancer> {
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const { header, sent, from = '127.0.0.1' } = balancing();
      const behind = createConnection({ port: target(), host: '127.0.0.1', localAddress: from, noDelay: true });
      for (const [one, other] of [[client, behind] as const, [behind, client] as const]) {
        sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
      behind.pipe(client);
      client.once('data', (first: Buffer) => {
        client.pause();
        void write(behind, header, first, sent).then(() => client.pipe(behind));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new FakeLoadBalancer(server, sockets, address.port);
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

async function write(socket: Socket, header: Buffer, first: Buffer, sent: Balancing['sent']): Promise<void> {
  if (sent === 'joined') {
    socket.write(Buffer.concat([header, first]));
    return;
  }
  const step = sent === 'apart' ? header.length : sent;
  for (let at = 0; at < header.length; at += step) {
    socket.write(header.subarray(at, at + step));
    await setImmediate();
  }
  socket.write(first);
}
