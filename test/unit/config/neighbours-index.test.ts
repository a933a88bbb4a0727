/**
 * Who shares what, kept over many changes: it must find what looking at all of them finds.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { YamlDocument } from '../../../src/config/document.ts';
import { judgeNeighbours, Neighbours } from '../../../src/config/neighbours.ts';
import type { BuiltTenant, TenantFacts } from '../../../src/config/tenant.ts';
import { tenantId } from '../../fakes/trust.ts';

const few = fc.integer({ min: 0, max: 3 }).map(String);
const several = fc.array(few, { maxLength: 3 });

const facts: fc.Arbitrary<TenantFacts> = fc.record({
  id: few.map((name) => tenantId(`t${name}`)),
  serverNames: several,
  issuers: fc.array(fc.record({ issuer: few, tenantClaim: fc.constantFrom(undefined, 'tenant') }), { maxLength: 2 }),
  apiKeyIds: several,
  trustDomain: fc.constantFrom(undefined, 'a.test', 'b.test'),
  clientCas: several,
  clientBundle: fc.constantFrom(undefined, 'a.test'),
  sharesCertificate: fc.boolean(),
  identifiedBy: fc.option(
    fc.oneof(
      fc.record({
        kind: fc.constant('spiffe' as const),
        ids: fc.array(fc.constantFrom('spiffe://a.test/*', 'spiffe://a.test/x/*', 'spiffe://a.test/x/y'), {
          maxLength: 2,
        }),
      }),
      fc.record({ kind: fc.constant('client-ca' as const), names: several }),
    ),
    { nil: undefined },
  ),
  clientCaIssuers: several,
});

function built(file: number, known: TenantFacts | undefined): BuiltTenant {
  const document = new YamlDocument(`tenants/${file}.yaml`, 'tenant: x\n');
  return { document, draft: undefined, facts: known, findings: [], validities: [], fetched: [], dependents: [] };
}

/** At which place among eight files: nothing, something that does not parse, or a tenant. */
const change = fc.tuple(
  fc.integer({ min: 0, max: 7 }),
  fc.oneof(fc.constant('gone' as const), fc.option(facts, { nil: undefined })),
);

test('finds what looking at all of them finds, after any changes', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const neighbours = new Neighbours();
      const present = new Map<number, BuiltTenant>();
      for (const [file, what] of changes) {
        const before = present.get(file);
        if (before !== undefined) neighbours.leave(before);
        present.delete(file);
        if (what !== 'gone') {
          const tenant = built(file, what);
          present.set(file, tenant);
          neighbours.enter(tenant);
        }
        const order = [...present].toSorted(([a], [b]) => a - b).map(([, tenant]) => tenant);
        expect(neighbours.judge(order)).toEqual(judgeNeighbours(order));
      }
    }),
    { seed: 7, numRuns: 200 },
  );
});
