import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { cursorPath, readCursor } from '../../../src/audit/cursor.ts';
import { writeCursor } from '../../fakes/audit-logs.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const cursor = { sequence: 12, offset: 4_096, record: 17, hash: 'ab'.repeat(32) };

it('comes back as it was written, each time anew, readable by its owner only', () => {
  const directory = temporaryDirectory();
  expect(readCursor(directory, 'worker-0', 'logs')).toBeUndefined();
  writeCursor(directory, 'worker-0', 'logs', cursor);
  expect(readCursor(directory, 'worker-0', 'logs')).toEqual(cursor);
  const largest = { sequence: 9_999_999_999, offset: 2 ** 53 - 1, record: 2 ** 32 - 1, hash: '0'.repeat(64) };
  writeCursor(directory, 'worker-0', 'logs', largest);
  expect(readCursor(directory, 'worker-0', 'logs')).toEqual(largest);
  writeCursor(directory, 'worker-0', 'logs', cursor);
  expect(readCursor(directory, 'worker-0', 'logs')).toEqual(cursor);
  expect(readCursor(directory, 'worker-0', 'traces')).toBeUndefined();
  expect(statSync(cursorPath(directory, 'worker-0', 'logs')).mode & 0o777).toBe(0o600);
});

it('counts as none when any byte of it is not what was written', () => {
  const directory = temporaryDirectory();
  writeCursor(directory, 'worker-0', 'logs', cursor);
  const path = cursorPath(directory, 'worker-0', 'logs');
  const whole = readFileSync(path);
  const textEnd = whole.indexOf('}') + 1;
  for (let at = 0; at < textEnd; at++) {
    const torn = Buffer.from(whole);
    torn[at] = 0x30 === torn[at] ? 0x31 : 0x30;
    writeFileSync(path, torn);
    expect(readCursor(directory, 'worker-0', 'logs'), String(at)).toBeUndefined();
  }
  truncateSync(path, 0);
  expect(readCursor(directory, 'worker-0', 'logs')).toBeUndefined();
});
