/**
 * Adds TLS and a client certificate to whoever cannot present one: bytes in on a plain loopback port, the same bytes out over
 * TLS with the tenant's server name. It knows nothing of HTTP/2, so a judge of frames sees the sidecar's own.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { connect } from 'node:tls';

export interface BytesTunnelOptions {
  /** Where the sidecar listens. */
  readonly port: number;
  readonly serverName: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

export class BytesTunnel {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = port;
  }

  static async start(options: BytesTunnelOptions): Promise<BytesTunnel> {
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (plain) => join(plain, options, sockets));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP address');
    return new BytesTunnel(server, sockets, address.port);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function join(plain: Socket, options: BytesTunnelOptions, sockets: Set<Socket>): void {
  const secure = connect({
    host: '127.0.0.1',
    port: options.port,
    servername: options.serverName,
    ca: options.caPem,
    cert: options.certPem,
    key: options.keyPem,
    ALPNProtocols: ['h2'],
  });
  secure.setNoDelay(true);
  const ends = [
    [plain, secure],
    [secure, plain],
  ] as const;
  for (const [from, to] of ends) {
    sockets.add(from);
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      to.destroySoon();
    });
  }
}
