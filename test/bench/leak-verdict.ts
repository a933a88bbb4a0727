/**
 * What grew, and whether it is a leak: more than noise, from the first look to the second, which only calls and connections lie
 * between.
 */
import type { LeakReport, Look } from './leak.ts';

/** V8 compiles, counts and remembers as it likes: the same look twice differs by as much. */
const HEAP_NOISE_BYTES = 768 * 1024;
/** Slabs that happen to be idle with their tenant, and not in the reserve. */
const BUFFER_NOISE_BYTES = 2 * 1024 * 1024;
/** Objects of one constructor. */
const OBJECT_NOISE = 100;
const DESCRIPTOR_NOISE = 4;

/** Everything that grew beyond noise; empty when nothing leaks. */
export function leaksOf({ looks: [, half, end] }: LeakReport): readonly string[] {
  const leaks: string[] = [];
  for (const after of end.threads) {
    const before = half.threads.find(({ thread }) => thread === after.thread);
    if (before === undefined) {
      leaks.push(`${after.thread} was not there before`);
      continue;
    }
    const heap = after.heapBytes - before.heapBytes;
    const buffers = after.bufferBytes - before.bufferBytes;
    if (heap > HEAP_NOISE_BYTES) leaks.push(`the heap of ${after.thread}: ${kib(heap)}`);
    if (buffers > BUFFER_NOISE_BYTES) leaks.push(`the buffers of ${after.thread}: ${kib(buffers)}`);
  }
  for (const [thread, grown] of growers(half, end)) {
    for (const { name, by } of grown) if (by > OBJECT_NOISE) leaks.push(`${thread}: ${by} of ${name}`);
  }
  if (end.descriptors > half.descriptors + DESCRIPTOR_NOISE) {
    leaks.push(`descriptors: ${half.descriptors} → ${end.descriptors}`);
  }
  return leaks;
}

/** For people. */
export function reportText({ looks, made, seconds }: LeakReport): string {
  const [, half, end] = looks;
  const lines = [
    `${Object.entries(made)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')} in ${seconds.toFixed(0)} s`,
  ];
  lines.push('', 'after a full collection       warm-up       half        end');
  for (const { thread } of end.threads) {
    const row = (what: string, of: 'heapBytes' | 'externalBytes' | 'bufferBytes'): void => {
      const values = looks.map((look) => kib(look.threads.find((each) => each.thread === thread)?.[of] ?? 0));
      lines.push(`  ${`${thread} ${what}`.padEnd(22)}${values.map((value) => value.padStart(12)).join('')}`);
    };
    row('heap', 'heapBytes');
    row('external', 'externalBytes');
    row('buffers', 'bufferBytes');
  }
  const plain = (what: string, of: (look: Look) => number | string): void => {
    lines.push(`  ${what.padEnd(22)}${looks.map((look) => String(of(look)).padStart(12)).join('')}`);
  };
  plain('resident', (look) => kib(look.residentBytes));
  plain('descriptors', (look) => look.descriptors);
  for (const name of end.gauges.keys()) {
    lines.push(`  ${name}: ${looks.map((look) => look.gauges.get(name) ?? 0).join(' → ')}`);
  }
  lines.push('', 'what grew most from half to end, by constructor:');
  for (const [thread, grown] of growers(half, end)) {
    const top = grown.slice(0, 8).map(({ name, by, bytes }) => `${name} ${by > 0 ? '+' : ''}${by} (${kib(bytes)})`);
    lines.push(`  ${thread}: ${top.join(', ') || 'nothing'}`);
  }
  return `${lines.join('\n')}\n`;
}

interface Grown {
  readonly name: string;
  readonly by: number;
  readonly bytes: number;
}

/** Objects whose number grew, by thread, the most first. V8's own kinds, in parentheses, are shown and not judged here. */
function growers(before: Look, after: Look): ReadonlyMap<string, readonly Grown[]> {
  return new Map(
    [...after.objects].map(([thread, counts]) => {
      const grown = [...counts]
        .map(([name, { count, bytes }]) => {
          const old = before.objects.get(thread)?.get(name) ?? { count: 0, bytes: 0 };
          return { name, by: count - old.count, bytes: bytes - old.bytes };
        })
        .filter(({ name, by }) => by > 0 && !name.startsWith('('));
      return [thread, grown.toSorted((a, b) => b.by - a.by)];
    }),
  );
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
