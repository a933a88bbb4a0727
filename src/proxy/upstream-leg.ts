/**
 * A call's way to the model server. It cannot be opened without a `MethodPermit`, a `Seat` and a `Lease`, and a message's last byte
 * does not leave without the `ChargedPermit` for that message: a gRPC server acts on a message only when it has the whole of it.
 *
 * A stream that the model server says it never looked at is sent once more, as long as all that was sent is still here; what is
 * sent then is what was permitted before.
 */
import type { MethodPermit } from '../authz/authorizer.ts';
import type { ResetCause, Stream } from '../http2/contract.ts';
import { SendQueue } from '../http2/send-queue.ts';
import type { ChargedPermit, Lease } from '../quota/quota-gate.ts';
import { Leg, type LegOwner } from './leg.ts';
import { Replay } from './replay.ts';
import { isUntouched } from './stream-death.ts';
import type { Seat } from './turn-queue.ts';
import type { UpstreamPool } from './upstream-pool.ts';

const NOTHING = Buffer.alloc(0);

export class UpstreamLeg extends Leg {
  readonly #replay: Replay;
  /** The model server has answered something, or has had its second try. */
  #final = false;
  /** Taken by the socket on this stream, and of all that the owner has been told. */
  #writtenBytes = 0;
  #toldBytes = 0;

  /** Opens the way: from here on, the parts of messages may travel. */
  static open(_permit: MethodPermit, _seat: Seat, _lease: Lease, pool: UpstreamPool, owner: LegOwner): UpstreamLeg {
    const leg = new UpstreamLeg(pool, owner);
    leg.begin();
    return leg;
  }

  private constructor(pool: UpstreamPool, owner: LegOwner) {
    super(pool, owner, false);
    this.#replay = new Replay(pool.replays);
  }

  /** Sends bytes of a message whose end is yet to come. */
  sendPart(chunk: Buffer): void {
    this.send(chunk, false);
  }

  /** Sends bytes up to and with a message's last, for which the permit was given. */
  sendMessage(_permit: ChargedPermit, chunk: Buffer, endStream: boolean): void {
    this.send(chunk, endStream);
  }

  /** Half-closes: the client has nothing more to say. */
  sendEnd(_permit: MethodPermit): void {
    this.send(NOTHING, true);
  }

  /** What was told once is not told again of a stream that repeats it. */
  onWritten(_stream: Stream, bytes: number): void {
    if (this.closed) return;
    this.#writtenBytes += bytes;
    const news = this.#writtenBytes - this.#toldBytes;
    if (news <= 0) return;
    this.#toldBytes += news;
    this.owner.onRequestTaken(news);
  }

  protected leaving(chunk: Buffer): void {
    this.#replay.keep(chunk);
  }

  protected answered(): void {
    this.#final = true;
    this.#replay.drop();
  }

  /** Opens another stream for what was sent on one that the model server has not touched, if all of it is still here. */
  protected revived(cause: ResetCause): boolean {
    if (this.#final || !isUntouched(cause)) return false;
    const sent = this.#replay.take();
    if (sent === undefined) return false;
    this.#final = true;
    this.stream = undefined;
    this.endLeft = false;
    this.#writtenBytes = 0;
    if (sent.length > 0) {
      this.unsent = new SendQueue();
      this.unsent.pushData(sent);
    }
    this.connect();
    return true;
  }

  protected override close(): void {
    super.close();
    this.#replay.drop();
  }
}
