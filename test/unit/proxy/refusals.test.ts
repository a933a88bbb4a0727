import { describe, expect, it } from 'vitest';
import type { RefusalRecord } from '../../../src/audit/record.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { Refusals } from '../../../src/proxy/refusals.ts';

function gather(): { readonly refusals: Refusals; readonly records: RefusalRecord[]; readonly counted: string[] } {
  const records: RefusalRecord[] = [];
  const counted: string[] = [];
  const refusals = new Refusals(
    () => 5 as EpochMicros,
    (record) => records.push(record),
    (reason) => counted.push(reason),
  );
  return { refusals, records, counted };
}

const one = {
  reason: 'TLS_HANDSHAKE_FAILED',
  serverName: 'a.test',
  tenantClaim: 'a',
  peerAddress: '127.0.0.1',
  detail: '',
};

describe('refusals', () => {
  it('are gathered by peer, reason and server name', () => {
    const { refusals, records, counted } = gather();
    for (let i = 0; i < 1000; i++) refusals.add(one);
    refusals.add({ ...one, reason: 'TLS_CLIENT_CERT_REQUIRED' });
    refusals.flush();
    expect(records.map(({ reason, count }) => [reason, count])).toEqual([
      ['TLS_HANDSHAKE_FAILED', 1000],
      ['TLS_CLIENT_CERT_REQUIRED', 1],
    ]);
    expect(counted).toHaveLength(1001);
  });

  it('of more than 256 kinds in a second go into one overflow record, and none is lost from the count', () => {
    const { refusals, records } = gather();
    for (let i = 0; i < 257; i++) refusals.add({ ...one, peerAddress: `10.0.0.${i}` });
    for (let i = 0; i < 43; i++) refusals.add({ ...one, peerAddress: `10.0.1.${i}` });
    refusals.flush();
    expect(records).toHaveLength(257);
    expect(records.find(({ reason }) => reason === '_overflow')?.count).toBe(44);
    expect(records.reduce((sum, { count }) => sum + count, 0)).toBe(300);
  });

  it('of exactly 256 kinds do not overflow', () => {
    const { refusals, records } = gather();
    for (let i = 0; i < 256; i++) refusals.add({ ...one, peerAddress: `10.0.0.${i}` });
    refusals.flush();
    expect(records).toHaveLength(256);
    expect(records.some(({ reason }) => reason === '_overflow')).toBe(false);
  });
});
