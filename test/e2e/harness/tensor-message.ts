/**
 * The bytes before a tensor's content, written by hand, so that a message of any size can be sent without being held.
 */

/** `ModelInferRequest.raw_input_contents`. */
export const RAW_INPUT_CONTENTS = 7;

/**
 * gRPC's length prefix, the model's name (field 1) and the tag and length of one raw tensor: `tensorBytes` bytes follow.
 */
export function inferMessageHead(model: string, tensorBytes: number, tensorField: number): Buffer {
  const name = Buffer.from(model);
  const fields = Buffer.concat([
    Buffer.from([(1 << 3) | 2, ...varint(name.length)]),
    name,
    Buffer.from([(tensorField << 3) | 2, ...varint(tensorBytes)]),
  ]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(fields.length + tensorBytes, 1);
  return Buffer.concat([prefix, fields]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) | 0x80);
    left = Math.floor(left / 0x80);
  }
  bytes.push(left);
  return bytes;
}
