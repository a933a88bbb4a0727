/** A process that takes from a total until it is killed: a byte on standard output for each call that was granted. */
import { writeSync } from 'node:fs';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { LimitJournal } from '../../../src/quota/limit-journal.ts';
import { LimitStore } from '../../../src/quota/limit-store.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { limitedTenant, limitOf } from './limits.ts';
import { callerOf, EPOCH } from './tenants.ts';

const [directory = '', amount = '', journaled = ''] = process.argv.slice(2);
const tenant = limitedTenant(1, [
  limitOf('tenant', { kind: 'total', amount: Number(amount), sinceSeconds: 0 }, 'contract'),
  limitOf('caller', { kind: 'calendar', amount: Number(amount), unit: 'month', zone: 'UTC' }, 'monthly'),
]);
const store = LimitStore.open(directory);
const state = createSharedState({ tenantSlots: 2, workers: 1, epoch: EPOCH, salt: store.salt });
if (journaled === 'yes') store.restore(state, { tenants: [tenant] }, EPOCH);
const tables = attachSharedState(state, 0);
if (journaled === 'yes') tables.limits.journal = new LimitJournal(directory, 0, state.limits.journalEpoch);
const gate = new QuotaGate(tables, tenant);
const byte = Buffer.from('x');
for (let call = 0; ; call++) {
  const lease = gate.reserve(callerOf(1, 'alice'), (EPOCH + call) as EpochMicros);
  if (!lease.ok) break;
  lease.value.settle();
  writeSync(1, byte);
}
