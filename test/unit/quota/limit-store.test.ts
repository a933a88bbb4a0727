import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LimitConfig, OrganisationConfig } from '../../../src/config/quota-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { AHEAD_PARTS, LimitJournal } from '../../../src/quota/limit-journal.ts';
import { LimitStore, type Regions } from '../../../src/quota/limit-store.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { limitedTenant, limitOf } from './limits.ts';
import { callerOf, EPOCH } from './tenants.ts';

const SECOND = 1_000_000;
const HOUR = 3_600 * SECOND;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bulkhead-quota-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A process's life, of one worker: begins with what is on disk. */
class Life {
  readonly store = LimitStore.open(directory);
  readonly #regions: Regions;
  readonly #bornAt: number;
  readonly state: ReturnType<typeof createSharedState>;
  readonly #tables: ReturnType<typeof attachSharedState>;

  constructor(regions: Regions, bornAt: number) {
    this.#regions = regions;
    this.#bornAt = bornAt;
    const epoch = (EPOCH + bornAt) as EpochMicros;
    this.state = createSharedState({ tenantSlots: 4, organisationSlots: 2, workers: 1, epoch, salt: this.store.salt });
    this.store.restore(this.state, regions, epoch);
    this.#tables = attachSharedState(this.state, 0);
    this.#tables.limits.journal = new LimitJournal(directory, 0, this.state.limits.journalEpoch);
  }

  /** How many of so many calls are granted. */
  granted(tenant: TenantConfig, calls: number, at = this.#bornAt, caller = 'alice'): number {
    const gate = new QuotaGate(this.#tables, tenant);
    let count = 0;
    for (let call = 0; call < calls; call++) {
      const lease = gate.reserve(callerOf(tenant.slot, caller), (EPOCH + at) as EpochMicros);
      if (lease.ok) count += 1;
    }
    return count;
  }

  end(at: number): void {
    this.store.close(this.#regions, EPOCH + at);
  }
}

const day = (amount: number) => ({ kind: 'calendar', amount, unit: 'day', zone: 'UTC' }) as const;
const KINDS = [
  ['a calendar window', day(1_000), 24 * HOUR],
  ['a sliding window', { kind: 'sliding', amount: 1_000, lengthMs: 3_600_000 }, 2 * HOUR],
  ['a total', { kind: 'total', amount: 1_000, sinceSeconds: 0 }, undefined],
] as const;

describe.each(KINDS)('%s', (_, bound, over) => {
  const tenant = limitedTenant(1, [limitOf('tenant', bound), limitOf('caller', bound)]);
  const regions = { tenants: [tenant] };

  it('goes on exactly where it was when the process has ended in order', () => {
    const first = new Life(regions, 0);
    expect(first.granted(tenant, 300)).toBe(300);
    first.end(SECOND);
    const second = new Life(regions, 2 * SECOND);
    expect(second.granted(tenant, 1_000)).toBe(700);
    second.end(3 * SECOND);
    expect(new Life(regions, 4 * SECOND).granted(tenant, 10)).toBe(0);
  });

  it('grants never more, and hardly less, when the process was killed', () => {
    const first = new Life(regions, 0).granted(tenant, 301);
    const second = new Life(regions, 2 * SECOND).granted(tenant, 301);
    const third = new Life(regions, 4 * SECOND).granted(tenant, 1_000);
    expect(first + second).toBe(602);
    expect(first + second + third).toBeLessThanOrEqual(1_000);
    expect(first + second + third).toBeGreaterThanOrEqual(1_000 - 2 * (1_000 / AHEAD_PARTS + 1));
  });

  it('begins anew when it is over', () => {
    expect(new Life(regions, 0).granted(tenant, 1_000)).toBe(1_000);
    expect(new Life(regions, over ?? 1_000 * HOUR).granted(tenant, 5)).toBe(over === undefined ? 0 : 5);
  });
});

it('of each caller and of an organisation is found again, also in other slots', () => {
  const organisation: OrganisationConfig = { name: 'group', slot: 0, limits: [limitOf('organisation', day(50))] };
  const limits: readonly LimitConfig[] = [limitOf('caller', day(20))];
  const before = limitedTenant(1, limits, organisation);
  const first = new Life({ tenants: [before], organisations: [organisation] }, 0);
  expect(first.granted(before, 30, 0, 'alice')).toBe(20);
  expect(first.granted(before, 10, 0, 'bob')).toBe(10);
  first.end(0);
  const moved = { ...organisation, slot: 1 };
  // The same tenant, elsewhere in the tables.
  const after = { ...limitedTenant(3, limits, moved), id: before.id };
  const second = new Life({ tenants: [after], organisations: [moved] }, SECOND);
  const gate = new QuotaGate(attachSharedState(second.state, 0), after);
  // Forged, as `callerOf` does it: the tenant kept its id and got another slot.
  const caller = (id: string) => ({ id, tenant: { slot: 3, id: before.id } }) as unknown as ReturnType<typeof callerOf>;
  const count = (id: string): number => {
    let granted = 0;
    for (let n = 0; n < 30; n++) if (gate.reserve(caller(id), (EPOCH + SECOND) as EpochMicros).ok) granted += 1;
    return granted;
  };
  expect([count('alice'), count('bob'), count('carol')]).toEqual([0, 10, 10]);
});

it('is kept for a tenant that is away, and is there when it comes back', () => {
  const tenant = limitedTenant(1, [limitOf('tenant', day(100))]);
  const first = new Life({ tenants: [tenant] }, 0);
  first.granted(tenant, 60);
  first.end(0);
  const without = new Life({ tenants: [] }, SECOND);
  without.store.compact({ tenants: [] }, EPOCH + SECOND);
  without.store.welcome({ tenants: [] }, { tenants: [tenant] }, EPOCH + SECOND);
  expect(without.granted(tenant, 100, SECOND)).toBe(40);
});

it.each([0, 1, 3])(
  'is kept for a tenant that leaves a running process, whose journal is written anew %i times',
  (times) => {
    const tenant = limitedTenant(1, [limitOf('tenant', day(100))]);
    const first = new Life({ tenants: [tenant] }, 0);
    first.granted(tenant, 60);
    first.store.welcome({ tenants: [tenant] }, { tenants: [] }, EPOCH);
    for (let n = 0; n < times; n++) first.store.compact({ tenants: [] }, EPOCH);
    first.store.close({ tenants: [] }, EPOCH);
    const left = new Life({ tenants: [tenant] }, SECOND).granted(tenant, 100);
    expect(left).toBeLessThanOrEqual(40);
    expect(left).toBeGreaterThanOrEqual(40 - Math.ceil(100 / AHEAD_PARTS));
  },
);

it('is written anew when it has grown, without a file that grows for ever', async () => {
  const tenant = limitedTenant(1, [limitOf('tenant', { kind: 'total', amount: 100_000, sinceSeconds: 0 })]);
  const regions = { tenants: [tenant] };
  const life = new Life(regions, 0);
  for (let round = 0; round < 5; round++) {
    life.granted(tenant, 1_000);
    life.store.compact(regions, EPOCH);
    await life.store.tick(regions, EPOCH);
    expect(readdirSync(directory).length).toBeLessThanOrEqual(6);
  }
  const left = new Life(regions, SECOND).granted(tenant, 200_000);
  expect(5_000 + left).toBeLessThanOrEqual(100_000);
  expect(5_000 + left).toBeGreaterThanOrEqual(100_000 - 100_000 / AHEAD_PARTS - 1);
});

it.each([
  [8 * 1024 * 1024, 0],
  [8 * 1024 * 1024 + 1, 1],
])('is written anew when it has more than the limit, and not when it has that much', async (bytes, snapshots) => {
  const tenant = limitedTenant(1, [limitOf('tenant', day(10))]);
  const life = new Life({ tenants: [tenant] }, 0);
  writeFileSync(join(directory, 'journal-1-w9-1.log'), Buffer.alloc(bytes));
  await life.store.tick({ tenants: [tenant] }, EPOCH);
  expect(readdirSync(directory).filter((name) => name.startsWith('snapshot'))).toHaveLength(snapshots);
});

it('is read up to where a file was cut or spoilt', () => {
  const tenant = limitedTenant(1, [limitOf('tenant', day(1_000))]);
  const regions = { tenants: [tenant] };
  new Life(regions, 0).granted(tenant, 500);
  for (const name of readdirSync(directory))
    if (name.startsWith('journal')) appendFileSync(join(directory, name), 'torn');
  writeFileSync(join(directory, 'journal-7-w3-1.log'), Buffer.alloc(1_000, 0x41));
  const left = new Life(regions, SECOND).granted(tenant, 1_000);
  expect(left).toBeLessThanOrEqual(500);
  expect(left).toBeGreaterThan(490);
});

it('that cannot be written has the call refused, and nothing taken', () => {
  const tenant = limitedTenant(1, [limitOf('tenant', day(10))]);
  const life = new Life({ tenants: [tenant] }, 0);
  const tables = attachSharedState(life.state, 0);
  tables.limits.journal = new LimitJournal(join(directory, 'salt'), 0, life.state.limits.journalEpoch);
  const gate = new QuotaGate(tables, tenant);
  for (let n = 0; n < 20; n++) {
    expect(gate.reserve(callerOf(1, 'alice'), EPOCH)).toMatchObject({
      error: { kind: 'policy_unavailable', source: 'the quota journal' },
    });
  }
  expect(life.granted(tenant, 20)).toBe(10);
});

it.each([
  [59_999, ' not', 5],
  [60_000, '', 0],
])('of a sliding window of %i ms is%s kept', (lengthMs, _, granted) => {
  const tenant = limitedTenant(1, [limitOf('tenant', { kind: 'sliding', amount: 5, lengthMs })]);
  expect(new Life({ tenants: [tenant] }, 0).granted(tenant, 5)).toBe(5);
  expect(new Life({ tenants: [tenant] }, 1).granted(tenant, 5)).toBe(granted);
});

/** Takes until it is killed or has used up all. Returns how many it was granted, and whether it came to the end. */
function lifeOf(
  amount: number,
  journaled: 'yes' | 'no',
  killAfterBytes: number,
): Promise<{ granted: number; ended: boolean }> {
  const script = fileURLToPath(new URL('./journal-child.ts', import.meta.url));
  const child = spawn(process.execPath, [script, directory, String(amount), journaled], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let granted = 0;
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      granted += chunk.length;
      if (granted >= killAfterBytes) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ granted, ended: code === 0 }));
  });
}

describe('a process that is killed again and again', () => {
  it('never grants more than there is, and loses what was written ahead', async () => {
    const amount = 60_000;
    let sum = 0;
    let kills = 0;
    for (;;) {
      const { granted, ended } = await lifeOf(amount, 'yes', 5_000 + kills * 997);
      sum += granted;
      if (ended) break;
      kills += 1;
    }
    expect(kills).toBeGreaterThanOrEqual(2);
    expect(sum).toBeLessThanOrEqual(amount);
    expect(sum).toBeGreaterThanOrEqual(amount - (kills + 1) * (Math.ceil(amount / AHEAD_PARTS) + 2));
  }, 60_000);

  it('without a journal grants more: the counter-proof', async () => {
    const amount = 20_000;
    const killed = await lifeOf(amount, 'no', 5_000);
    const whole = await lifeOf(amount, 'no', Number.POSITIVE_INFINITY);
    expect(killed.granted + whole.granted).toBeGreaterThan(amount);
  }, 60_000);
});
