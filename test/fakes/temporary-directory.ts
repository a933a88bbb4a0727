/** A directory of a test's own, gone when the test ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'bulkhead-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
