import { describe, expect, test } from 'vitest';
import type { CallRecord } from '../../../../src/audit/record.ts';
import type { TenantConfig } from '../../../../src/config/tenant-config.ts';
import type { CertificateCredential } from '../../../../src/proxy/explain/question.ts';
import { decisionOf, explainRecord, type RecordedExplanation } from '../../../../src/proxy/explain/recorded.ts';
import { callRecord } from '../../../fakes/audit-records.ts';
import { binding, now, role } from '../../../fakes/explain.ts';
import { fakeTenant } from '../../../fakes/trust.ts';

const acme = fakeTenant('acme', { roles: [role()], bindings: [binding()] });
const RULE = 'tenants/acme.yaml:31 bindings[0] → role reader';

function denied(gate: CallRecord['gates'][number]['gate'], reason: string): Partial<CallRecord> {
  return { outcome: 'denied', grpcStatus: 7, reason, gates: [{ gate, fromMicros: 0, toMicros: 1, verdict: 'deny' }] };
}

async function ask(
  record: Partial<CallRecord>,
  tenant: TenantConfig = acme.config,
  certificate?: CertificateCredential,
): Promise<RecordedExplanation> {
  const all = callRecord({ caller: 'token:alice', rule: RULE, modelVersion: '', ...record });
  const answer = await explainRecord({ tenants: [tenant] }, all, certificate, now());
  if (!answer.ok) throw new Error(answer.error);
  return answer.value;
}

describe('a call on record, and the present configuration', () => {
  test('agree when nothing has changed', async () => {
    expect(await ask({})).toMatchObject({
      recorded: { verdict: 'allowed', gate: undefined, rule: RULE },
      present: { verdict: 'allowed' },
      differs: false,
      comparison: 'they agree: allowed then and now',
    });
    expect(await ask({ ...denied('inspect', 'model_denied'), model: 'fraud' })).toMatchObject({
      recorded: { verdict: 'denied', gate: 'inspect' },
      present: { verdict: 'denied' },
      differs: false,
    });
  });

  test('differ when a role was given or taken since', async () => {
    const wider = { ...acme.config, roles: [role({ models: ['*'] })] };
    expect(await ask({ ...denied('inspect', 'model_denied'), model: 'fraud' }, wider)).toMatchObject({
      differs: true,
      comparison: 'they differ: it was denied then, and would be allowed now',
    });
    const narrower = { ...acme.config, roles: [role({ models: [] })] };
    expect(await ask({}, narrower)).toMatchObject({ differs: true });
  });

  test('differ when both refuse, each for another reason', async () => {
    expect(await ask({ ...denied('authorize', 'method_denied'), model: 'fraud' })).toMatchObject({
      differs: true,
      comparison: 'they differ: denied both times, then for method_denied, now for model_denied',
    });
  });

  test('that it failed at the model server, or was cancelled, does not make it one that was refused', () => {
    expect(decisionOf(callRecord({ outcome: 'failed', reason: 'upstream_unavailable' })).verdict).toBe('allowed');
    expect(decisionOf(callRecord({ outcome: 'cancelled', grpcStatus: 1 })).verdict).toBe('allowed');
  });

  test('cannot be compared where quota or memory refused it, or it ended before its model was known', async () => {
    expect(await ask(denied('reserve', 'rate_limited'))).toMatchObject({ differs: undefined });
    expect(await ask({ outcome: 'denied', reason: 'buffer_exceeded' })).toMatchObject({
      differs: undefined,
      comparison: 'it was refused for what is not asked here: buffer_exceeded',
    });
    expect(await ask({ outcome: 'cancelled', model: '', gates: [] })).toMatchObject({ differs: undefined });
  });

  test('a caller by key or certificate is asked about as such', async () => {
    const bindings = [binding({ subjects: [], keys: ['acme-key'], certificates: ['spiffe://acme.example/batch'] })];
    const tenant = { ...acme.config, bindings };
    for (const caller of ['key:acme-key', 'cert:spiffe://acme.example/batch']) {
      expect(await ask({ caller }, tenant)).toMatchObject({ present: { verdict: 'allowed', caller } });
    }
    const named = { kind: 'assumed', name: 'spiffe://acme.example/batch' } as const;
    expect(await ask({}, tenant)).toMatchObject({ present: { verdict: 'denied' } });
    expect(await ask({}, tenant, named)).toMatchObject({ present: { verdict: 'allowed' } });
  });

  test('a token that was strong enough then is taken to be so now, and one that was not is not', async () => {
    const stepUp = { acrValues: ['gold'], maxAgeMs: 60_000, amr: ['mfa'] };
    const tenant = { ...acme.config, roles: [role({ scopes: ['s1', 's2'], stepUp })] };
    expect(await ask({}, tenant)).toMatchObject({ present: { verdict: 'allowed' } });
    expect(await ask(denied('inspect', 'step_up_required'), tenant)).toMatchObject({ differs: false });
  });

  test('a call of which the record does not know who made it cannot be asked again', async () => {
    const nobody = callRecord({ caller: '', ...denied('authenticate', 'token_invalid') });
    expect(await explainRecord({ tenants: [acme.config] }, nobody, undefined, now())).toMatchObject({ ok: false });
    const egress = callRecord({ caller: 'egress:127.0.0.1:9001' });
    expect(await explainRecord({ tenants: [acme.config] }, egress, undefined, now())).toMatchObject({ ok: false });
    const gone = callRecord({ tenant: 'gone' });
    expect(await explainRecord({ tenants: [acme.config] }, gone, undefined, now())).toEqual({
      ok: false,
      error: 'there is no tenant gone; there are: acme',
    });
  });
});
