import { describe, expect, it } from 'vitest';
import { BulkMemory } from '../../../src/runtime/bulk-memory.ts';

const MIB = 1024 * 1024;

describe('bulk memory', () => {
  it('is collected when 4 MiB of large chunks have arrived, and not a byte before', () => {
    let collections = 0;
    const memory = new BulkMemory(() => void (collections += 1));
    for (let i = 0; i < 255; i++) memory.arrived(16 * 1024);
    memory.arrived(16 * 1024 - 1);
    expect(collections).toBe(0);
    memory.arrived(4 * 1024);
    expect(collections).toBe(1);
  });

  it('is never collected for small calls', () => {
    let collections = 0;
    const memory = new BulkMemory(() => void (collections += 1));
    for (let i = 0; i < 100_000; i++) memory.arrived(4 * 1024 - 1);
    expect(collections).toBe(0);
  });

  it('is really given back by V8', async () => {
    const memory = new BulkMemory();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 256; i++) Buffer.allocUnsafeSlow(64 * 1024);
    const grown = process.memoryUsage().arrayBuffers - before;
    memory.arrived(8 * MIB);
    // V8 frees the memory of dead buffers beside the thread, and counts it soon after.
    await new Promise((resolve) => setTimeout(resolve, 50));
    memory.arrived(8 * MIB);
    const left = process.memoryUsage().arrayBuffers - before;
    expect(grown).toBeGreaterThan(8 * MIB);
    expect(left).toBeLessThan(4 * MIB);
  });
});
