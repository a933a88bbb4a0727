import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readInputs, writeOutput } from '../../../../src/demo/server/tensor-codec.ts';

const floats = Buffer.from(Float32Array.of(1.5, -2).buffer);

function read(datatype: string, shape: readonly string[], raw: Buffer): unknown {
  const result = readInputs({ modelName: 'm', inputs: [{ name: 'x', datatype, shape }], rawInputContents: [raw] });
  return result.ok ? Array.from(result.value['x']?.data as ArrayLike<unknown>) : result.error;
}

describe('readInputs', () => {
  it('reads raw FP32 and INT64 as little-endian', () => {
    expect(read('FP32', ['1', '2'], floats)).toEqual([1.5, -2]);
    expect(read('INT64', ['1'], Buffer.from([0xfe, 255, 255, 255, 255, 255, 255, 255]))).toEqual([-2n]);
  });

  it('reads raw bytes that are not aligned to their elements', () => {
    const shifted = Buffer.concat([Buffer.from([9]), floats]).subarray(1);
    expect(read('FP32', ['2'], shifted)).toEqual([1.5, -2]);
  });

  it('reads typed contents', () => {
    const inputs = [
      { name: 'f', datatype: 'FP32', shape: ['2'], contents: { fp32Contents: [1, 2] } },
      { name: 'i', datatype: 'INT64', shape: ['1'], contents: { int64Contents: ['9007199254740993'] } },
    ];
    const result = readInputs({ modelName: 'm', inputs });
    if (!result.ok) throw new Error(result.error);
    expect(Array.from(result.value['f']?.data as Float32Array)).toEqual([1, 2]);
    expect(Array.from(result.value['i']?.data as BigInt64Array)).toEqual([9007199254740993n]);
  });

  it.each([
    ['another datatype', 'BYTES', ['2'], floats, /BYTES is not FP32 or INT64/],
    ['half an element', 'FP32', ['2'], floats.subarray(1), /7 raw bytes are not a whole number/],
    ['one element too few', 'FP32', ['3'], floats, /takes 3 elements, got 2/],
    ['one element too many', 'FP32', ['1'], floats, /takes 1 elements, got 2/],
    ['a negative dimension', 'FP32', ['-1'], floats, /bad dimension/],
  ] as const)('refuses %s', (_, datatype, shape, raw, why) => {
    expect(read(datatype, shape, raw)).toMatch(why);
  });

  it('refuses raw contents that are not one for each input', () => {
    const inputs = [{ name: 'x', datatype: 'FP32', shape: ['2'] }];
    expect(readInputs({ modelName: 'm', inputs, rawInputContents: [floats, floats] }).ok).toBe(false);
  });
});

describe('writeOutput', () => {
  it('writes what readInputs reads', () => {
    const written = writeOutput('y', new Tensor('float32', Float32Array.of(0.25, 4), [2, 1]));
    expect(written?.message).toEqual({ name: 'y', datatype: 'FP32', shape: ['2', '1'] });
    expect(read('FP32', ['2', '1'], written?.raw ?? Buffer.alloc(0))).toEqual([0.25, 4]);
  });

  it('has no bytes for a type that is not served', () => {
    expect(writeOutput('y', new Tensor('bool', Uint8Array.of(1), [1]))).toBeUndefined();
  });
});
