/**
 * What a message of the soak says: who sent it, what the model server shall do, and bytes that belong to this one message of this
 * one call of this one tenant. Both ends know the bytes that must come, so one octet of somebody else's is noticed at once.
 */
import { createCipheriv } from 'node:crypto';
import { field } from '../fakes/raw-grpc-client.ts';
import { hash32 } from './random.ts';

export interface Letter {
  readonly tenant: string;
  /** The call's number in the run. */
  readonly call: number;
  /** The message's number in the call. */
  readonly index: number;
  readonly requestBytes: number;
  /** How many messages answer this one, and how long their content is. */
  readonly answers: number;
  readonly answerBytes: number;
  /** The model server waits so long before it answers, in milliseconds. */
  readonly delayMs: number;
  /** The status that ends the call with this message instead of an answer; 0: none. */
  readonly fail: number;
  readonly gzipAnswer: boolean;
}

const NOISE_BYTES = 32 * 1024 * 1024;

/** Octets that any part of a message is cut from: where, is the message's own. */
export class Noise {
  readonly #octets: Buffer;

  constructor(seed: number) {
    const key = Buffer.alloc(16);
    key.writeUInt32BE(seed >>> 0);
    this.#octets = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(NOISE_BYTES));
  }

  request(letter: Letter): Buffer {
    return this.#cut(`${letter.tenant} ${letter.call} ${letter.index} request`, letter.requestBytes);
  }

  answer(letter: Letter, part: number): Buffer {
    return this.#cut(`${letter.tenant} ${letter.call} ${letter.index} answer ${part}`, letter.answerBytes);
  }

  #cut(name: string, bytes: number): Buffer {
    const from = hash32(name) % (NOISE_BYTES - bytes);
    return this.#octets.subarray(from, from + bytes);
  }
}

/** The letter as `ModelInferRequest.id`. */
export function formatLetter(letter: Letter): string {
  const { tenant, call, index, requestBytes, answers, answerBytes, delayMs, fail, gzipAnswer } = letter;
  return [tenant, call, index, requestBytes, answers, answerBytes, delayMs, fail, gzipAnswer ? 1 : 0].join('/');
}

/** Undefined: nobody of the soak wrote this. */
export function parseLetter(text: string): Letter | undefined {
  const match = /^([a-z0-9-]+)((?:\/\d+){8})$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const [call = 0, index = 0, requestBytes = 0, answers = 0, answerBytes = 0, delayMs = 0, fail = 0, gzip = 0] =
    match[2].slice(1).split('/').map(Number);
  return {
    tenant: match[1],
    call,
    index,
    requestBytes,
    answers,
    answerBytes,
    delayMs,
    fail,
    gzipAnswer: gzip === 1,
  };
}

/** `ModelInferRequest`: model_name, id, raw_input_contents. */
export function encodeRequest(letter: Letter, model: string, noise: Noise): Buffer {
  return Buffer.concat([field(1, model), field(3, formatLetter(letter)), field(7, noise.request(letter))]);
}

/** The id and the tensor of a `ModelInferRequest`. Throws when it is not one. */
export function decodeRequest(message: Buffer): { readonly id: string; readonly tensor: Buffer } {
  const fields = fieldsOf(message);
  return { id: fields.get(3)?.toString() ?? '', tensor: fields.get(7) ?? NOTHING };
}

/** `ModelInferResponse` (model_name, id, raw_output_contents); in a stream, within `ModelStreamInferResponse`. */
export function encodeAnswer(letter: Letter, part: number, streaming: boolean, noise: Noise): Buffer {
  const id = `${formatLetter(letter)}#${part}`;
  const response = Buffer.concat([field(1, 'digits'), field(3, id), field(6, noise.answer(letter, part))]);
  return streaming ? field(2, response) : response;
}

/** Why an answer is not the one that this letter's part must have; undefined when it is, to the octet. */
export function whyWrong(
  message: Buffer,
  letter: Letter,
  part: number,
  streaming: boolean,
  noise: Noise,
): string | undefined {
  const wanted = encodeAnswer(letter, part, streaming, noise);
  if (message.equals(wanted)) return undefined;
  const at = wanted.findIndex((octet, i) => message[i] !== octet);
  const place = `octet ${at} of ${wanted.length} (${message.length} came)`;
  const begins = message
    .subarray(0, 120)
    .toString('latin1')
    .replace(/[^ -~]/g, '.');
  return `${formatLetter(letter)}#${part}: ${place}: ${begins}`;
}

const NOTHING = Buffer.alloc(0);

/** Length-delimited fields only: the soak's messages have no others. */
function fieldsOf(message: Buffer): ReadonlyMap<number, Buffer> {
  const fields = new Map<number, Buffer>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const octet = message[at++];
      if (octet === undefined) throw new Error('a message ends in a number');
      value += (octet & 127) * 2 ** shift;
      if (octet < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    if ((tag & 7) !== 2) throw new Error(`a field of wire type ${tag & 7}`);
    const length = varint();
    if (at + length > message.length) throw new Error('a message ends in a field');
    fields.set(tag >> 3, message.subarray(at, at + length));
    at += length;
  }
  return fields;
}
