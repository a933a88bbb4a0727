/**
 * Has the messages of a response pay, each before any of it goes on, for its bytes and for what it says that it costs: what the model server
 * sends is cut where a message begins that is not paid for, so that what the client has had are whole messages.
 *
 * A message's length is known by its prefix of five bytes. Of a prefix that comes in pieces nothing goes on before it is whole.
 */
import type { MessageToll } from '../inspection/message-inspector.ts';
import type { Denial } from '../kernel/denial.ts';
import type { ByteToll } from '../quota/byte-toll.ts';
import { ResponseReader, type ResponseReading } from './response-reader.ts';

export class ResponseToll {
  readonly #toll: ByteToll | undefined;
  readonly #payer: Pick<MessageToll, 'pay'> | undefined;
  readonly #reader: ResponseReader | undefined;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  /** Of the prefix that is being read, these are here. */
  #prefixBytes = 0;
  /** Of the message that is under way, these are to come. */
  #remaining = 0;
  #denial: Denial | undefined;

  /** `payer`: pays for bytes at `toll`; undefined, both: they are free. `reading`: of what messages say of their cost. */
  constructor(toll: ByteToll | undefined, payer: Pick<MessageToll, 'pay'> | undefined, reading?: ResponseReading) {
    this.#toll = toll;
    this.#payer = payer;
    this.#reader = reading && new ResponseReader(reading);
  }

  /** Why the message that comes next may not go on. Final. */
  get denial(): Denial | undefined {
    return this.#reader?.denial ?? this.#denial;
  }

  /** The part of a message that was kept back: the model server ends in it. */
  get kept(): Buffer {
    const prefix = Buffer.from(this.#prefix.subarray(0, this.#prefixBytes));
    return this.#reader === undefined ? prefix : Buffer.concat([this.#reader.kept, prefix]);
  }

  /** What may go on when this has come. */
  pass(chunk: Buffer): Buffer {
    const paid = this.#payer === undefined ? chunk : this.#passPaid(this.#payer, chunk);
    return this.#reader === undefined ? paid : this.#reader.pass(paid);
  }

  #passPaid(payer: Pick<MessageToll, 'pay'>, chunk: Buffer): Buffer {
    // What was kept back of the last chunk goes with this one.
    const kept = this.#prefixBytes;
    const whole = kept === 0 ? chunk : Buffer.concat([this.#prefix.subarray(0, kept), chunk]);
    this.#prefixBytes = 0;
    let at = 0;
    while (at < whole.length) {
      const step = Math.min(this.#remaining, whole.length - at);
      this.#remaining -= step;
      at += step;
      if (at === whole.length) break;
      if (whole.length - at < PREFIX_BYTES) {
        this.#prefixBytes = whole.copy(this.#prefix, 0, at);
        break;
      }
      const bytes = PREFIX_BYTES + whole.readUInt32BE(at + 1);
      this.#denial = payer.pay(bytes);
      if (this.#denial !== undefined) break;
      this.#remaining = bytes;
    }
    return at === whole.length ? whole : whole.subarray(0, at);
  }

  /** The call is over. */
  settle(): void {
    this.#toll?.settle(this.#remaining);
    this.#remaining = 0;
  }
}

/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const PREFIX_BYTES = 5;
