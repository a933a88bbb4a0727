/**
 * One client connection of the soak: HTTP/2 by node:http2, over mTLS to the ingress or in clear text to the egress sidecar. It can be
 * cut as a broken network would.
 */
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export interface LineAccess {
  readonly port: number;
  readonly serverName: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const CONNECT_TIMEOUT_MS = 15_000;

const LARGEST_STREAM = 2 ** 31 - 1;

export class Line {
  readonly session: ClientHttp2Session;
  /** SHA-256 of the server's certificate; empty in clear text. */
  readonly serverFingerprint: string;
  readonly #tcp: Socket;
  #goaway = false;
  #lastStream = LARGEST_STREAM;
  #ended = false;
  #broken = false;
  readonly #told: string[] = [];

  private constructor(session: ClientHttp2Session, tcp: Socket, outer: Socket, serverFingerprint: string) {
    this.session = session;
    this.#tcp = tcp;
    this.serverFingerprint = serverFingerprint;
    session.setMaxListeners(0);
    session.on('error', () => undefined);
    session.on('goaway', (code, lastStream) => {
      this.#goaway = true;
      this.#lastStream = lastStream;
      this.#told.push(`GOAWAY ${code} up to ${lastStream}`);
    });
    for (const socket of [tcp, outer]) {
      socket.on('error', (error) => {
        this.#broken = true;
        this.#told.push(error.message);
      });
      socket.on('close', () => {
        this.#ended = true;
      });
    }
  }

  /** Connects and waits for the other side's SETTINGS. Rejects when it does not come to that. */
  static async connect(to: LineAccess | number, windowBytes = 65_535): Promise<Line> {
    const tcp = connectTcp(typeof to === 'number' ? to : to.port, '127.0.0.1');
    tcp.setNoDelay(true);
    tcp.on('error', () => undefined);
    const outer = typeof to === 'number' ? tcp : secure(tcp, to);
    const abort = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    try {
      await once(outer, typeof to === 'number' ? 'connect' : 'secureConnect', { signal: abort });
      const session = connect(typeof to === 'number' ? 'http://soak.test' : `https://${to.serverName}`, {
        createConnection: () => outer,
        settings: { initialWindowSize: windowBytes },
      });
      const line = new Line(session, tcp, outer, fingerprintOf(outer));
      await Promise.race([
        once(session, 'remoteSettings', { signal: abort }),
        once(session, 'close', { signal: abort }).then(() => {
          throw new Error('closed before its settings');
        }),
      ]);
      return line;
    } catch (cause) {
      tcp.destroy();
      throw new Error('no connection', { cause });
    }
  }

  /** Whether a new call may begin on it. */
  get usable(): boolean {
    return !this.#ended && !this.#goaway && !this.session.closed && !this.session.destroyed;
  }

  /** The connection is gone. One that was asked to end and has ended took no call with it, unless it broke before. */
  get lost(): boolean {
    return this.ended && (!this.#goaway || this.#broken);
  }

  /**
   * It was asked to end, and every stream that it had begun was to be served: what is refused now is what node:http2 had not sent yet,
   * and takes back.
   */
  get firstGoawayOnly(): boolean {
    return this.#goaway && this.#lastStream === LARGEST_STREAM;
  }

  get ended(): boolean {
    return this.#ended || this.session.destroyed;
  }

  /** What it has heard of its end. */
  get told(): string {
    return this.#told.join(', ');
  }

  /** Lets every response have so much more in flight. */
  widen(windowBytes: number): void {
    // Also on one that was asked to end: its calls are still to be read.
    if (!this.session.destroyed) this.session.settings({ initialWindowSize: windowBytes });
  }

  /** RST instead of FIN. */
  cut(): void {
    this.#ended = true;
    this.#tcp.resetAndDestroy();
  }

  /** Resolves when the other side has answered a PING: it has read all that was sent before. False when the line is gone. */
  settled(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.ended || this.session.closed) return resolve(false);
      this.session.once('close', () => resolve(false));
      if (!this.session.ping((error) => resolve(error === null))) resolve(false);
    });
  }

  close(): void {
    this.session.destroy();
    this.#tcp.destroy();
  }
}

function secure(tcp: Socket, to: LineAccess): TLSSocket {
  return connectTls({
    socket: tcp,
    servername: to.serverName,
    ca: to.caPem,
    cert: to.certPem,
    key: to.keyPem,
    ALPNProtocols: ['h2'],
  });
}

function fingerprintOf(socket: Socket): string {
  return 'getPeerCertificate' in socket ? (socket as TLSSocket).getPeerCertificate().fingerprint256 : '';
}
