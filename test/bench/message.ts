/**
 * The bench's messages: a gRPC frame around a KServe V2 `ModelInferRequest` of an exact length.
 */
import { ProtobufWriter } from '../../src/protobuf/writer.ts';

/** The model that the bench calls. */
export const CALLED_MODEL = 'digits';

/** Length of the backend's answer. */
export const ANSWER_BYTES = 100;

const PREFIX_BYTES = 5;
const FLOAT_BYTES = 4;

/** A framed `ModelInferRequest` for `CALLED_MODEL` whose message has exactly so many bytes (100 or more). */
export function modelInfer(messageBytes: number): Buffer {
  // As many floats as fit, and then an id that fills what is left.
  for (let floats = Math.floor(messageBytes / FLOAT_BYTES); floats > 0; floats--) {
    const room = messageBytes - encoded(floats, '').length;
    if (room < MIN_ID_FIELD) continue;
    const message = encoded(floats, 'x'.repeat(room - MIN_ID_FIELD + 1));
    // An id of 128 characters or more has a longer length; one float less than fits is never that far off.
    if (message.length !== messageBytes) continue;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(messageBytes, 1);
    return Buffer.concat([prefix, message]);
  }
  throw new RangeError(`no ModelInferRequest has ${messageBytes} bytes`);
}

/** Tag, length and one character. */
const MIN_ID_FIELD = 3;

function encoded(floats: number, id: string): Buffer {
  const writer = new ProtobufWriter().string(1, CALLED_MODEL);
  if (id !== '') writer.string(3, id);
  writer.begin(5).string(1, 'image').string(2, 'FP32').integer(3, 1).integer(3, floats).end();
  return Buffer.from(writer.string(7, '\0'.repeat(floats * FLOAT_BYTES)).view());
}
