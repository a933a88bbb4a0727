import type { DescMessage } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  INFER,
  INFER_RESPONSE,
  STREAM_INFER_RESPONSE,
  SYSTEM_REGIONS,
  UNREGISTER_REGION,
} from '../../../src/inspection/inference-shapes.ts';
import { Namespace } from '../../../src/inspection/namespace.ts';
import type { FieldPlan } from '../../../src/protobuf/field-plan.ts';
import { MAX_NAMES, MAX_SCOPED_INTEGERS, NameEdits, type NameMapping } from '../../../src/protobuf/name-edits.ts';
import { WireScanner } from '../../../src/protobuf/scanner.ts';
import { TextCache } from '../../../src/protobuf/text-cache.ts';
import {
  bytesField,
  choice,
  cuts,
  decoded,
  mapped,
  parameter,
  REQUEST,
  RESPONSE,
  requests,
  STREAM_RESPONSE,
  SYSTEM_STATUS,
  textField,
} from '../../fakes/infer-messages.ts';

const WINDOW = 4_096;
const acme = new Namespace('acme', Buffer.alloc(32, 1));
const globex = new Namespace('globex', Buffer.alloc(32, 1));
const RUNS = { numRuns: 4_000 };
const LATE = 'names something too late in the message';

/** The message as it becomes, scanned in pieces; or why it is refused. */
function rewrite(
  plan: FieldPlan,
  mapping: NameMapping,
  message: Buffer,
  at: readonly number[] = [],
  windowBytes = WINDOW,
): Buffer | string {
  const edits = new NameEdits(mapping, windowBytes);
  const scanner = new WireScanner(plan, new TextCache(), edits);
  scanner.begin(message.length);
  let start = 0;
  for (const end of [...at.map((cut) => cut % (message.length + 1)).sort((a, b) => a - b), message.length]) {
    if (!scanner.push(message, start, end)) break;
    start = end;
  }
  if (!scanner.finish()) return scanner.refusal?.why ?? '';
  const growth = edits.close();
  const changed = edits.changedBytes;
  const result = Buffer.concat([edits.apply(message, 0, changed, growth), message.subarray(changed)]);
  expect(result.length).toBe(message.length + growth);
  return result;
}

function entered(message: Buffer, namespace = acme, at: readonly number[] = []): Buffer {
  const result = rewrite(INFER, namespace.entering, message, at);
  if (typeof result === 'string') throw new Error(result);
  return result;
}

function mapForward(type: DescMessage, message: Buffer): unknown {
  return mapped(decoded(type, message), (text) => `acme:${text}`, acme.entering.integer);
}

/** Every split in two, and byte by byte. */
function allCuts(message: Buffer): readonly (readonly number[])[] {
  const each = Array.from({ length: message.length }, (_, index) => index);
  return [[], ...each.map((cut) => [cut]), each];
}

describe('a request that enters its tenant’s namespace', () => {
  it('says what decoding it, mapping its names and encoding it again would say, and turns back to the byte', () => {
    fc.assert(
      fc.property(requests, cuts, (message, at) => {
        const result = rewrite(INFER, acme.entering, message, at);
        expect(result).toEqual(rewrite(INFER, acme.entering, message));
        if (typeof result === 'string') {
          // What is too long for Triton behind the prefix, is refused.
          expect(result).toMatch(/is longer than 123 bytes|has too many names/);
          return;
        }
        expect(decoded(REQUEST, result)).toEqual(mapForward(REQUEST, message));
        expect(rewrite(INFER, acme.leaving, result)).toEqual(message);
      }),
      RUNS,
    );
  });

  it('is the same whichever way its bytes come in pieces', () => {
    const message = Buffer.concat([
      textField(1, 'counter'),
      textField(3, 'request-1'),
      parameter(4, 'sequence_id', { int64: 42n }, true),
      parameter(4, 'priority', { uint64: 3n }),
      bytesField(5, Buffer.concat([textField(1, 'x'), parameter(4, 'shared_memory_region', { text: 'r' })])),
      bytesField(6, parameter(2, 'shared_memory_region', { text: 'r'.repeat(120) })),
      bytesField(7, Buffer.alloc(20, 0x1a)),
    ]);
    const whole = entered(message);
    expect(decoded(REQUEST, whole)).toEqual(mapForward(REQUEST, message));
    expect(whole.indexOf('acme:request-1')).toBeGreaterThan(0);
    for (const at of allCuts(message)) expect(entered(message, acme, at)).toEqual(whole);
  });

  it('has nothing changed where it names nothing', () => {
    const message = Buffer.concat([
      textField(1, 'm'),
      textField(3, ''),
      parameter(4, 'sequence_id', { int64: 0n }),
      parameter(4, 'sequence_id', { text: '' }),
      parameter(4, 'sequence_ix', { text: 'x' }),
      bytesField(5, parameter(4, 'sequence_id', { text: 'of no meaning here' })),
      bytesField(4, bytesField(2, choice({ text: 'without a key' }))),
      bytesField(7, textField(3, 'inside a tensor')),
    ]);
    expect(entered(message)).toEqual(message);
  });

  it('has every occurrence of a name changed: whichever a server takes is the tenant’s own', () => {
    const twice = Buffer.concat([
      textField(3, 'a'),
      parameter(4, 'sequence_id', { int64: 1n }),
      bytesField(
        4,
        Buffer.concat([
          bytesField(2, choice({ text: 'b' })),
          textField(1, 'sequence_id'),
          bytesField(2, choice({ int64: 1n })),
        ]),
      ),
      textField(3, 'c'),
    ]);
    const one = acme.entering.integer(1n);
    const expected = Buffer.concat([
      textField(3, 'acme:a'),
      parameter(4, 'sequence_id', { uint64: one }).fill(0x10, 17, 18),
      bytesField(
        4,
        Buffer.concat([
          bytesField(2, choice({ text: 'acme:b' })),
          textField(1, 'sequence_id'),
          bytesField(2, choice({ int64: BigInt.asIntN(64, one) })),
        ]),
      ),
      textField(3, 'acme:c'),
    ]);
    expect(entered(twice)).toEqual(expected);
  });

  it('keeps lengths and integers that are longer than they need to be, but those that change', () => {
    const whole = Buffer.from('0a8100 6d 1a8100 61 2a82000a00 3200'.replaceAll(' ', ''), 'hex');
    expect(entered(whole)).toEqual(
      Buffer.from('0a81006d 1a06 61636d653a61 2a82000a00 3200'.replaceAll(' ', ''), 'hex'),
    );
    const padded = Buffer.concat([
      textField(1, 'm'),
      bytesField(4, Buffer.concat([textField(1, 'sequence_id'), bytesField(2, Buffer.from('10878000', 'hex'))])),
    ]);
    expect(decoded(REQUEST, entered(padded))).toEqual(mapForward(REQUEST, padded));
  });

  it('makes the lengths around a name longer, also by a byte of their own', () => {
    for (let bytes = 100; bytes < 140; bytes++) {
      const tensor = Buffer.concat([
        parameter(4, 'shared_memory_region', { text: 'r' }),
        textField(1, 'x'.repeat(bytes)),
      ]);
      const message = bytesField(5, tensor);
      expect(decoded(REQUEST, entered(message))).toEqual(mapForward(REQUEST, message));
    }
  });

  it('is refused with two keys in one entry, of which parsers take this or that', () => {
    const value = bytesField(2, choice({ text: 's' }));
    const [sequence, other] = [textField(1, 'sequence_id'), textField(1, 'custom')];
    for (const parts of [
      [sequence, other, value],
      [other, sequence, value],
      [other, value, sequence],
    ])
      expect(rewrite(INFER, acme.entering, bytesField(4, Buffer.concat(parts)))).toBe('an entry of a map has two keys');
    expect(entered(bytesField(4, Buffer.concat([other, other, value])))).toHaveLength(23);
  });

  it('may name something in the window, and not one byte behind it', () => {
    const named = (before: number) => Buffer.concat([bytesField(7, Buffer.alloc(before)), textField(3, 'id')]);
    // Tag and length of the tensor are three bytes, those of the id two: the length must be inside.
    const last = named(WINDOW - 5);
    expect(rewrite(INFER, acme.entering, last)).not.toBeTypeOf('string');
    for (const at of [[], [3], [WINDOW - 2], [WINDOW - 1], [WINDOW]]) {
      expect(rewrite(INFER, acme.entering, last, at)).toEqual(rewrite(INFER, acme.entering, last));
      expect(rewrite(INFER, acme.entering, named(WINDOW - 4), at)).toBe(LATE);
    }
  });

  it('may end an entry that names something in the window, and not one byte behind it', () => {
    const entry = parameter(4, 'sequence_id', { text: 's' });
    const named = (before: number) => Buffer.concat([bytesField(7, Buffer.alloc(before)), entry]);
    const fits = WINDOW - 3 - entry.length;
    expect(rewrite(INFER, acme.entering, named(fits))).not.toBeTypeOf('string');
    for (const at of [[], [WINDOW], [WINDOW - 1, WINDOW]])
      expect(rewrite(INFER, acme.entering, named(fits + 1), at)).toBe(LATE);
    const without = Buffer.concat([bytesField(7, Buffer.alloc(fits + 1)), parameter(4, 'custom', { text: 's' })]);
    expect(entered(without)).toEqual(without);
  });

  it('may have as many names as the limit and not one more', () => {
    const names = (count: number) => Buffer.concat(Array.from({ length: count }, () => textField(3, 'i')));
    expect(rewrite(INFER, acme.entering, names(MAX_NAMES), [], 1 << 20)).not.toBeTypeOf('string');
    expect(rewrite(INFER, acme.entering, names(MAX_NAMES + 1), [], 1 << 20)).toBe('has too many names');
  });

  it('may have as many numbers of sequences as the limit and not one more', () => {
    const numbers = (count: number) =>
      Buffer.concat(Array.from({ length: count }, (_, id) => parameter(4, 'sequence_id', { uint64: BigInt(id + 1) })));
    expect(rewrite(INFER, acme.entering, numbers(MAX_SCOPED_INTEGERS))).not.toBeTypeOf('string');
    expect(rewrite(INFER, acme.entering, numbers(MAX_SCOPED_INTEGERS + 1))).toBe('has too many names');
  });

  it('is told of a number that no 64 bits hold', () => {
    const broken = bytesField(
      4,
      Buffer.concat([textField(1, 'sequence_id'), bytesField(2, Buffer.from('10ffffffffffffffffff7f', 'hex'))]),
    );
    expect(rewrite(INFER, acme.entering, broken)).toBe('an integer does not fit its type');
  });
});

describe('two tenants', () => {
  it('never meet in a name, whatever they call theirs', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (mine, theirs) => {
        fc.pre(mine !== '' && theirs !== '');
        const [own, other] = [entered(textField(3, mine)), entered(textField(3, theirs), globex)];
        expect(own.equals(other)).toBe(false);
      }),
    );
  });
});

describe('a response that leaves its tenant’s namespace', () => {
  const response = Buffer.concat([
    textField(1, 'm'),
    textField(3, 'acme:request-1'),
    parameter(4, 'sequence_id', { uint64: acme.entering.integer(7n) }),
    bytesField(5, parameter(4, 'shared_memory_region', { text: 'acme:r' })),
    bytesField(6, Buffer.alloc(40, 1)),
  ]);
  const own = Buffer.concat([
    textField(1, 'm'),
    textField(3, 'request-1'),
    parameter(4, 'sequence_id', { uint64: 7n }),
    bytesField(5, parameter(4, 'shared_memory_region', { text: 'r' })),
    bytesField(6, Buffer.alloc(40, 1)),
  ]);

  it('has the client’s own names, at every split', () => {
    expect(decoded(RESPONSE, own)).toBeDefined();
    for (const at of allCuts(response)) expect(rewrite(INFER_RESPONSE, acme.leaving, response, at)).toEqual(own);
  });

  it('has them in a stream’s response, too', () => {
    const inside = bytesField(2, response);
    expect(decoded(STREAM_RESPONSE, inside)).toBeDefined();
    for (const at of allCuts(inside))
      expect(rewrite(STREAM_INFER_RESPONSE, acme.leaving, inside, at)).toEqual(bytesField(2, own));
  });

  it('keeps a name that is not in the namespace, and one that comes too late to be changed', () => {
    for (const name of ['acme', 'acm:x', 'globex:x', 'acme']) {
      const message = textField(3, name);
      expect(rewrite(INFER_RESPONSE, acme.leaving, message)).toEqual(message);
    }
    const late = Buffer.concat([bytesField(6, Buffer.alloc(WINDOW)), textField(3, 'acme:x')]);
    expect(rewrite(INFER_RESPONSE, acme.leaving, late)).toEqual(late);
  });
});

describe('a list of regions', () => {
  const region = (name: string, valueFirst = false): Buffer => {
    const parts = [textField(1, name), bytesField(2, Buffer.concat([textField(1, name), textField(2, '/key')]))];
    return bytesField(1, Buffer.concat(valueFirst ? parts.reverse() : parts));
  };

  it('has the tenant’s own, by its own names, and no others', () => {
    const all = ['globex:r', 'acme:r', 'acme:s', 'globex:s', 'raw', 'acme:', 'globex:t', 'acme:t'];
    const message = Buffer.concat(all.map((name, index) => region(name, index % 2 === 1)));
    const own = decoded(SYSTEM_STATUS, Buffer.concat(['r', 's', '', 't'].map((name) => region(name))));
    for (const at of allCuts(message)) {
      const seen = rewrite(SYSTEM_REGIONS, acme.leaving, message, at);
      expect(typeof seen === 'string' ? seen : decoded(SYSTEM_STATUS, seen)).toEqual(own);
    }
    expect(rewrite(SYSTEM_REGIONS, new Namespace('umbrella', Buffer.alloc(32)).leaving, message)).toHaveLength(0);
  });

  it('may end in the window, and not one byte behind it: what cannot be taken out must not pass', () => {
    const message = region('globex:r');
    expect(rewrite(SYSTEM_REGIONS, acme.leaving, message, [], message.length)).toHaveLength(0);
    expect(rewrite(SYSTEM_REGIONS, acme.leaving, message, [], message.length - 1)).toBe(LATE);
  });

  it('has more of other tenants’ than may be changed', () => {
    const others = Array.from({ length: MAX_NAMES * 2 }, (_, index) => region(`globex:${index}`));
    const message = Buffer.concat([...others, region('acme:r')]);
    expect(rewrite(SYSTEM_REGIONS, acme.leaving, message, [], 1 << 20)).toEqual(region('r'));
  });
});

it('knows whether a name that must be there was, and not empty', () => {
  const named = (message: Buffer): boolean => {
    const edits = new NameEdits(acme.entering, WINDOW);
    const scanner = new WireScanner(UNREGISTER_REGION, new TextCache(), edits);
    scanner.begin(message.length);
    scanner.push(message, 0, message.length);
    expect(scanner.finish()).toBe(true);
    return edits.named;
  };
  expect(named(textField(1, 'r'))).toBe(true);
  expect(named(Buffer.alloc(0))).toBe(false);
  expect(named(Buffer.concat([textField(1, 'r'), textField(1, '')]))).toBe(false);
});
