/**
 * Rewriting the names of a message, against a full decode, on messages that are well-formed, odd, and broken.
 *
 * What is held: a message that is accepted says to a full decoder what it said before, with its names in the tenant's namespace; the
 * same whichever way it comes in pieces; and turned back it is what it was.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { INFER, SYSTEM_REGIONS } from '../../src/inspection/inference-shapes.ts';
import { Namespace } from '../../src/inspection/namespace.ts';
import type { FieldPlan } from '../../src/protobuf/field-plan.ts';
import { NameEdits, type NameMapping } from '../../src/protobuf/name-edits.ts';
import { WireScanner } from '../../src/protobuf/scanner.ts';
import { TextCache } from '../../src/protobuf/text-cache.ts';
import { cuts, decoded, mapped, REQUEST, requests, SYSTEM_STATUS } from '../fakes/infer-messages.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 20_000);
const WINDOW = 600;
const { entering, leaving } = new Namespace('acme', Buffer.alloc(32, 1));

function rewrite(plan: FieldPlan, mapping: NameMapping, message: Buffer, at: readonly number[]): Buffer | undefined {
  const edits = new NameEdits(mapping, WINDOW);
  const scanner = new WireScanner(plan, new TextCache(), edits);
  scanner.begin(message.length);
  let start = 0;
  let growth: number | undefined;
  for (const end of [...at.map((cut) => cut % (message.length + 1)).sort((a, b) => a - b), message.length]) {
    if (!scanner.push(message, start, end)) return undefined;
    start = end;
    // As soon as the head may move on, it does.
    if (end >= WINDOW) growth ??= edits.close();
  }
  if (!scanner.finish()) return undefined;
  growth ??= edits.close();
  const changed = edits.changedBytes;
  const result = Buffer.concat([edits.apply(message, 0, changed, growth), message.subarray(changed)]);
  expect(result.length).toBe(message.length + growth);
  return result;
}

const mutations = fc.array(
  fc.tuple(fc.nat(2_000), fc.oneof(fc.constantFrom(0x0a, 0x1a, 0x22, 0x12, 0x00, 0x80, 0xff), fc.nat(255)), fc.nat(2)),
  { maxLength: 3 },
);

function mutate(message: Buffer, changes: readonly (readonly [number, number, number])[]): Buffer {
  const bytes = [...message];
  for (const [place, byte, how] of changes) {
    const at = place % (bytes.length + 1);
    if (how === 0) bytes.splice(at, 0, byte);
    else if (how === 1) bytes.splice(at, 1);
    else if (at < bytes.length) bytes[at] = byte;
  }
  return Buffer.from(bytes);
}

it('agrees with decoding, mapping and encoding, on mutated messages in any pieces', () => {
  let accepted = 0;
  fc.assert(
    fc.property(requests, mutations, cuts, (request, changes, at) => {
      const message = mutate(request, changes);
      const result = rewrite(INFER, entering, message, at);
      expect(rewrite(INFER, entering, message, [])).toEqual(result);
      if (result === undefined) return;
      const before = decoded(REQUEST, message);
      if (before === undefined) return;
      accepted += 1;
      const after = mapped(before, (text) => `acme:${text}`, entering.integer);
      expect(decoded(REQUEST, result)).toEqual(after);
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(RUNS / 10);
});

it('shows of a list of regions the tenant’s own and no others, whatever the server sends', () => {
  const region = fc
    .tuple(fc.constantFrom('acme:r', 'globex:r', 'r', 'acme:', ''), fc.boolean(), fc.nat(3))
    .map(([name, keyFirst, keys]) => {
      const key = Array.from({ length: keys }, () => [0x0a, name.length, ...Buffer.from(name)]).flat();
      const value = [0x12, name.length + 2, 0x0a, name.length, ...Buffer.from(name)];
      const entry = keyFirst ? [...key, ...value] : [...value, ...key];
      return Buffer.from([0x0a, entry.length, ...entry]);
    });
  fc.assert(
    fc.property(fc.array(region, { maxLength: 12 }), mutations, cuts, (regions, changes, at) => {
      const message = mutate(Buffer.concat(regions), changes);
      const result = rewrite(SYSTEM_REGIONS, leaving, message, at);
      expect(rewrite(SYSTEM_REGIONS, leaving, message, [])).toEqual(result);
      const [before, after] = [decoded(SYSTEM_STATUS, message), result && decoded(SYSTEM_STATUS, result)];
      if (before === undefined || after === undefined) return;
      const own = Object.keys(regionsOf(before)).filter((name) => name.startsWith('acme:'));
      expect(Object.keys(regionsOf(after)).sort()).toEqual(own.map((name) => name.slice('acme:'.length)).sort());
    }),
    { numRuns: RUNS },
  );
});

function regionsOf(status: unknown): object {
  const regions = typeof status === 'object' && status !== null ? Reflect.get(status, 'regions') : undefined;
  return typeof regions === 'object' && regions !== null ? regions : {};
}
