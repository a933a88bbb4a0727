import { describe, expect, it } from 'vitest';
import type { LimitConfig, OrganisationConfig, QuotaConfig } from '../../../src/config/quota-config.ts';
import { trailersOnly } from '../../../src/grpc/status-reply.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { type Lease, QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { permitFor } from './limits.ts';
import { at, callerOf, EPOCH, tenantWith } from './tenants.ts';

const alice = callerOf(1, 'token:alice');
const bob = callerOf(1, 'token:bob');
const PK = /;pk=:[A-Za-z0-9+/]{12}:/g;

function gateWith(quota: Partial<QuotaConfig>, organisation?: OrganisationConfig, salt?: string): QuotaGate {
  const state = createSharedState({
    tenantSlots: 4,
    workers: 2,
    organisationSlots: 1,
    epoch: EPOCH,
    ...(salt === undefined ? {} : { salt }),
  });
  const tenant = tenantWith(1, { announce: ['ratelimit'], ...quota });
  return new QuotaGate(attachSharedState(state, 0), organisation === undefined ? tenant : { ...tenant, organisation });
}

function reserved(gate: QuotaGate, caller = alice, micros = 0): Lease {
  const lease = gate.reserve(caller, at(micros));
  if (!lease.ok) throw new Error(lease.error.kind);
  return lease.value;
}

/** Fields by name, without their partition keys. */
function told(fields: readonly string[]): Record<string, string> {
  const entries: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) entries.push([fields[i] ?? '', (fields[i + 1] ?? '').replace(PK, '')]);
  return Object.fromEntries(entries);
}

function announced(gate: QuotaGate, lease: Lease, micros = 0, caller = alice): Record<string, string> {
  return told(gate.announce(lease, caller, at(micros)));
}

function keysIn(fields: readonly string[]): readonly string[] {
  return (fields[1] ?? '').match(PK) ?? [];
}

function refusalOf(gate: QuotaGate, caller = alice): Denial {
  const lease = gate.reserve(caller, at(0));
  if (lease.ok) throw new Error('was not refused');
  return lease.error;
}

const daily: LimitConfig = { name: 'in-a-day', level: 'caller', bound: { kind: 'sliding', amount: 5, lengthMs: 1e4 } };

describe('what is told of limits on success', () => {
  it('is the tenant’s concurrency and both rates, with what is left after the call itself', () => {
    const gate = gateWith({
      maxConcurrentCalls: 4,
      perTenant: { callsPerSecond: 10, burst: 20 },
      perCaller: { callsPerSecond: 1, burst: 3 },
    });
    expect(announced(gate, reserved(gate))).toEqual({
      'ratelimit-policy': '"concurrency";q=4;qu="concurrent-requests", "tenant";q=20;w=2, "caller";q=3;w=3',
      ratelimit: '"concurrency";r=3, "tenant";r=19;t=1, "caller";r=2;t=1',
    });
    expect(announced(gate, reserved(gate, bob), 0, bob)['ratelimit']).toBe(
      '"concurrency";r=2, "tenant";r=18;t=1, "caller";r=2;t=1',
    );
  });

  it('is each limit of the tenant and the caller, in its unit, until it renews', () => {
    const gate = gateWith({
      limits: [
        daily,
        { name: 'contract', level: 'tenant', bound: { kind: 'total', amount: 9, sinceSeconds: 0 } },
        { name: 'minutely', level: 'tenant', bound: { kind: 'calendar', amount: 7, unit: 'minute', zone: 'UTC' } },
        { name: 'at-once', level: 'caller', bound: { kind: 'concurrency', calls: 2 } },
        { name: 'paced', level: 'tenant', bound: { kind: 'rate', callsPerSecond: 2, burst: 4 } },
        { name: 'in', level: 'tenant', unit: 'requestBytes', bound: { kind: 'total', amount: 99, sinceSeconds: 0 } },
      ],
    });
    const fields = announced(gate, reserved(gate));
    expect(fields['ratelimit-policy']?.split(', ').sort()).toEqual([
      '"at-once";q=2;qu="concurrent-requests"',
      '"contract";q=9',
      '"in";q=99;qu="content-bytes"',
      '"in-a-day";q=5;w=10',
      '"minutely";q=7;w=60',
      '"paced";q=4;w=2',
    ]);
    expect(fields['ratelimit']?.split(', ').sort()).toEqual([
      '"at-once";r=1',
      '"contract";r=8',
      '"in";r=99',
      '"in-a-day";r=4;t=11',
      '"minutely";r=6;t=60',
      '"paced";r=3;t=1',
    ]);
  });

  it('is of a model what the call was charged for', () => {
    const gate = gateWith({
      limits: [{ name: 'per-model', level: 'model', bound: { kind: 'total', amount: 2, sinceSeconds: 0 } }],
    });
    const lease = reserved(gate);
    expect(gate.announce(lease, alice, at(0))).toEqual([]);
    expect(gate.charge(lease, permitFor('llama'), at(0)).ok).toBe(true);
    expect(announced(gate, lease)).toEqual({ 'ratelimit-policy': '"per-model";q=2', ratelimit: '"per-model";r=1' });
  });

  it('is nothing of an organisation, whose use is that of other tenants too', () => {
    const organisation: OrganisationConfig = {
      name: 'group',
      slot: 0,
      limits: [{ name: 'all', level: 'organisation', bound: { kind: 'total', amount: 3, sinceSeconds: 0 } }],
    };
    const gate = gateWith({ limits: [daily] }, organisation);
    expect(announced(gate, reserved(gate))['ratelimit-policy']).toBe('"in-a-day";q=5;w=10');
  });

  it('is nothing where it was not asked for, or where there are no limits', () => {
    expect(gateWith({ announce: [], limits: [daily] }).announces).toBe(false);
    expect(gateWith({}).announces).toBe(false);
  });

  it('is never less than nothing when a limit was lowered below what runs', () => {
    const state = createSharedState({ tenantSlots: 4, workers: 2, epoch: EPOCH });
    const tables = attachSharedState(state, 0);
    const before = new QuotaGate(tables, tenantWith(1, { maxConcurrentCalls: 3 }));
    const leases = [reserved(before), reserved(before), reserved(before)];
    const after = new QuotaGate(tables, tenantWith(1, { maxConcurrentCalls: 1, announce: ['ratelimit'] }));
    expect(announced(after, leases[0] as Lease)['ratelimit']).toBe('"concurrency";r=0');
  });
});

describe('the older fields', () => {
  it('name the limit of calls that has least left, and no other units', () => {
    const gate = gateWith({
      announce: ['x-ratelimit'],
      maxConcurrentCalls: 1,
      perTenant: { callsPerSecond: 100, burst: 200 },
      limits: [daily],
    });
    expect(announced(gate, reserved(gate))).toEqual({
      'x-ratelimit-limit': '5, 200;w=2;name="tenant", 5;w=10;name="in-a-day"',
      'x-ratelimit-remaining': '4',
      'x-ratelimit-reset': '11',
    });
  });

  it('are in a refusal, too, where they are asked for', () => {
    const quota = { limits: [{ ...daily, bound: { kind: 'sliding', amount: 1, lengthMs: 1e4 } }] } as const;
    const both = gateWith({ announce: ['ratelimit', 'x-ratelimit'], ...quota });
    reserved(both);
    const block = trailersOnly(refusalOf(both)).block;
    expect(block).toEqual(expect.arrayContaining(['x-ratelimit-remaining', '0', '1, 1;w=10;name="in-a-day"']));
    const standard = gateWith(quota);
    reserved(standard);
    expect(trailersOnly(refusalOf(standard)).block).not.toContain('x-ratelimit-limit');
  });
});

describe('a partition key', () => {
  it('is the same on success and in the refusal, and on every worker under one salt', () => {
    const quota = { perCaller: { callsPerSecond: 1, burst: 1 } };
    const gate = gateWith(quota, undefined, 'ab'.repeat(16));
    const [key] = keysIn(gate.announce(reserved(gate), alice, at(0)));
    const { block } = trailersOnly(refusalOf(gate));
    expect(block[block.indexOf('ratelimit-policy') + 1]).toBe(`"caller";q=1;w=1${key}`);
    const other = gateWith(quota, undefined, 'ab'.repeat(16));
    expect(keysIn(other.announce(reserved(other), alice, at(0)))).toEqual([key]);
  });

  it('differs between callers and under another salt, and has nothing of its owner in it', () => {
    const quota = { perTenant: { callsPerSecond: 9, burst: 9 }, perCaller: { callsPerSecond: 1, burst: 1 } };
    const gate = gateWith(quota, undefined, 'ab'.repeat(16));
    const [tenant, ofAlice] = keysIn(gate.announce(reserved(gate), alice, at(0)));
    const [tenantAgain, ofBob] = keysIn(gate.announce(reserved(gate, bob), bob, at(0)));
    expect(tenantAgain).toBe(tenant);
    expect(ofBob).not.toBe(ofAlice);
    const other = gateWith(quota, undefined, 'cd'.repeat(16));
    expect(keysIn(other.announce(reserved(other), alice, at(0)))).not.toContain(tenant);
    expect(Buffer.from(tenant?.slice(5, -1) ?? '', 'base64')).toHaveLength(9);
  });
});
