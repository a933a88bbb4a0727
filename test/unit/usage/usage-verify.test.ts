import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { usageDirectory } from '../../../src/usage/usage-files.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { HOUR, openKeeper, verified } from '../../fakes/usage.ts';

let directory = '';

/** Three hours of two tenants, in small segments, rolled up and closed. */
beforeEach(async () => {
  directory = temporaryDirectory();
  const log = openLog(directory, { segmentBytes: 1_500 });
  for (let i = 0; i < 30; i++) {
    write(
      log,
      callRecord({
        startedAt: micros((i * HOUR) / 10),
        durationMicros: 5,
        tenant: i % 2 === 0 ? 'acme' : 'umbra',
        caller: `key:k${i % 3}`,
        requestBytes: i,
      }),
    );
  }
  log.close();
  const test = openKeeper(directory, { maxRows: 2 });
  test.at = 2.5 * HOUR;
  await test.keeper.close();
});

/** Changes a file of usage as somebody would who knows its checksum. */
function alter(name: string, from: string | RegExp, to: string): void {
  const path = join(usageDirectory(directory), name);
  const text = readFileSync(path, 'utf8');
  const body = text.slice(text.indexOf('\n') + 1);
  const altered = body.replace(from, to);
  expect(altered).not.toBe(body);
  writeFileSync(path, `bulkhead-usage 1 sha256=${createHash('sha256').update(altered).digest('hex')}\n${altered}`);
}

describe('recounting', () => {
  it('agrees with what was rolled up, others included', async () => {
    expect(await verified(directory)).toEqual({
      ok: true,
      compared: ['2026-11-23T10', '2026-11-23T11', '2026-11-23T12'],
      calls: 30,
      notComparable: [],
      differences: [],
      problems: [],
    });
  });

  it('finds a number that was altered, with its checksum', async () => {
    alter('2026-11-23T10.json', /\["key:k0","digits",\d+/, '["key:k0","digits",99');
    const { ok, differences } = await verified(directory);
    expect(ok).toBe(false);
    expect(differences).toContainEqual({
      hour: '2026-11-23T10',
      tenant: 'acme',
      caller: 'key:k0',
      model: 'digits',
      unit: 'calls',
      usage: 99,
      audit: 2,
    });
    // And in the tenant's sum.
    expect(differences).toContainEqual({ hour: '2026-11-23T10', tenant: 'acme', unit: 'calls', usage: 102, audit: 5 });
  });

  it('finds bytes that were altered in the hour that is not over', async () => {
    alter('open.json', '"umbra",[["key:k0","digits",', '"umbra",[["key:k0","digits",1');
    expect((await verified(directory)).ok).toBe(false);
  });

  it('finds a caller who was given another’s calls', async () => {
    alter('2026-11-23T11.json', 'key:k1', 'key:k9');
    const { differences } = await verified(directory);
    expect(differences.map(({ caller }) => caller)).toContain('key:k9');
  });

  it('finds an hour that was taken away, and a tenant in it', async () => {
    rmSync(join(usageDirectory(directory), '2026-11-23T11.json'));
    const { ok, differences } = await verified(directory);
    expect(ok).toBe(false);
    expect(differences.filter(({ unit }) => unit === 'calls')).toEqual([
      { hour: '2026-11-23T11', tenant: 'acme', unit: 'calls', usage: 0, audit: 5 },
      { hour: '2026-11-23T11', tenant: 'umbra', unit: 'calls', usage: 0, audit: 5 },
    ]);
  });

  it('finds a tenant of whom nothing is on record', async () => {
    alter('2026-11-23T10.json', '"umbra"', '"omber"');
    const { differences } = await verified(directory);
    expect(new Set(differences.map(({ tenant }) => tenant))).toEqual(new Set(['umbra', 'omber']));
  });

  it('says what is wrong with a file whose checksum is wrong', async () => {
    const path = join(usageDirectory(directory), '2026-11-23T10.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('acme', 'acne'));
    const { ok, problems } = await verified(directory);
    expect(ok).toBe(false);
    expect(problems).toEqual([`${path}: its checksum is wrong: it was altered, or the disk lost a part of it`]);
  });

  it('compares the hours of which all segments are kept, and says of which they are not', async () => {
    rmSync(join(directory, 'worker-0-0000000001.bkal'));
    const { ok, compared, notComparable } = await verified(directory);
    expect({ ok, compared, notComparable }).toEqual({
      ok: true,
      compared: ['2026-11-23T11', '2026-11-23T12'],
      notComparable: ['2026-11-23T10'],
    });
  });

  it('does not believe a segment that was altered', async () => {
    const path = join(directory, 'worker-0-0000000002.bkal');
    const bytes = readFileSync(path);
    bytes[400] = (bytes[400] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { ok, problems, notComparable } = await verified(directory);
    expect(ok).toBe(false);
    expect(problems).toEqual([expect.stringMatching(/^worker-0-0000000002\.bkal record \d+: its bytes or its hash/)]);
    expect(notComparable.length).toBeGreaterThan(0);
  });

  it('finds records that were counted and cut off', async () => {
    const log = openLog(directory);
    write(log, callRecord({ startedAt: micros(2.5 * HOUR) }));
    log.close();
    const test = openKeeper(directory);
    test.at = 2.5 * HOUR;
    await test.keeper.close();
    const { rollUpSegment, header } = newest(directory);
    writeFileSync(rollUpSegment, readFileSync(rollUpSegment).subarray(0, header));
    const { ok, problems } = await verified(directory);
    expect(ok).toBe(false);
    expect(problems).toEqual([expect.stringContaining('records 1 to 1 were counted, and are not there')]);
  });
});

function newest(of: string): { rollUpSegment: string; header: number } {
  const cursor = JSON.parse(readFileSync(join(of, 'worker-0.usage.cursor'), 'utf8'));
  const rollUpSegment = join(of, `worker-0-${String(cursor.sequence).padStart(10, '0')}.bkal`);
  return { rollUpSegment, header: readFileSync(rollUpSegment).readUInt16LE(6) };
}
