/**
 * What must not be the same in two tenants' files: whatever tells one tenant from another.
 */
import type { Finding, Place } from './finding.ts';
import type { BuiltTenant, TenantFacts } from './tenant.ts';
import { bundleName } from './workload-material.ts';

type Known = BuiltTenant & { readonly facts: TenantFacts };

/**
 * Who has what, over all tenants, kept from one load to the next: only tenants that have something in common are looked at, and
 * only a tenant that changed is entered anew.
 */
export class Neighbours {
  readonly #ids: Users = new Map();
  readonly #serverNames: Users = new Map();
  readonly #apiKeyIds: Users = new Map();
  readonly #issuers: Users = new Map();
  readonly #clientCas: Users = new Map();
  /** What several have, with those who have it. */
  readonly #shared = new Set<Set<BuiltTenant>>();

  enter(tenant: BuiltTenant): void {
    this.#each(tenant, (users, value) => {
      const known = users.get(value);
      if (known === undefined || known === tenant) users.set(value, tenant);
      else if (known instanceof Set) known.add(tenant);
      else {
        const several = new Set([known, tenant]);
        users.set(value, several);
        this.#shared.add(several);
      }
    });
  }

  leave(tenant: BuiltTenant): void {
    this.#each(tenant, (users, value) => {
      const known = users.get(value);
      if (known === tenant) users.delete(value);
      if (!(known instanceof Set) || !known.delete(tenant)) return;
      const [last] = known;
      if (known.size > 1 || last === undefined) return;
      this.#shared.delete(known);
      users.set(value, last);
    });
  }

  /** What is wrong between them. `order`: all tenants; of two, the later one is told. */
  judge(order: Iterable<BuiltTenant>): readonly Finding[] {
    if (this.#shared.size === 0) return [];
    const involved = new Set([...this.#shared].flatMap((users) => [...users]));
    return judgeNeighbours([...order].filter((tenant) => involved.has(tenant)));
  }

  #each({ facts }: BuiltTenant, visit: (users: Users, value: string) => void): void {
    if (facts === undefined) return;
    visit(this.#ids, facts.id);
    for (const name of facts.serverNames) visit(this.#serverNames, name);
    for (const id of facts.apiKeyIds) visit(this.#apiKeyIds, id);
    for (const { issuer } of facts.issuers) visit(this.#issuers, issuer);
    for (const ca of authoritiesOf(facts)) visit(this.#clientCas, ca);
  }
}

/** One user as such, which nearly all are; several as a set. */
type Users = Map<string, BuiltTenant | Set<BuiltTenant>>;

/** Checks the tenants against each other, in linear time. */
export function judgeNeighbours(tenants: readonly BuiltTenant[]): readonly Finding[] {
  const known = tenants.filter((tenant): tenant is Known => tenant.facts !== undefined);
  return [
    ...duplicates(
      known,
      (facts) => [{ value: facts.id, path: ['tenant'] }],
      'the tenant id',
      'give each tenant an id of its own',
    ),
    ...duplicates(
      known,
      (facts) => facts.serverNames.map((value, index) => ({ value, path: ['serverNames', index] })),
      'the server name',
      'a server name belongs to one tenant: remove it from one of the two',
    ),
    ...duplicates(
      known,
      (facts) => facts.apiKeyIds.map((value, index) => ({ value, path: ['apiKeys', index, 'id'] })),
      'the API key id',
      'give the key an id that no other tenant’s key has',
    ),
    ...sharedIssuers(known),
    ...sharedAuthorities(known),
  ];
}

interface Named {
  readonly value: string;
  readonly path: Place['path'];
}

function duplicates(
  tenants: readonly Known[],
  namesOf: (facts: TenantFacts) => readonly Named[],
  noun: string,
  fix: string,
): readonly Finding[] {
  const first = new Map<string, Known>();
  const findings: Finding[] = [];
  for (const tenant of tenants) {
    for (const { value, path } of namesOf(tenant.facts)) {
      const before = first.get(value);
      if (before === undefined) first.set(value, tenant);
      else if (before !== tenant) {
        findings.push(
          tenant.document.finding({ path }, `${noun} ${value} is already used by ${before.document.file}`, fix),
        );
      }
    }
  }
  return findings;
}

/** An issuer that serves several tenants must say in each token whose it is. */
function sharedIssuers(tenants: readonly Known[]): readonly Finding[] {
  const users = new Map<string, { readonly tenant: Known; readonly index: number; readonly claimed: boolean }[]>();
  for (const tenant of tenants) {
    for (const [index, { issuer, tenantClaim }] of tenant.facts.issuers.entries()) {
      const list = users.get(issuer) ?? [];
      list.push({ tenant, index, claimed: tenantClaim !== undefined });
      users.set(issuer, list);
    }
  }
  const findings: Finding[] = [];
  for (const [issuer, list] of users) {
    const files = new Set(list.map((user) => user.tenant));
    if (files.size < 2) continue;
    for (const user of list.filter((one) => !one.claimed)) {
      const other = list.find((one) => one.tenant !== user.tenant);
      const message = `the issuer ${issuer} also serves ${other?.tenant.document.file ?? ''}, and nothing in its tokens says whose they are`;
      const fix = 'add tenantClaim: the claim that holds the tenant’s id';
      findings.push(user.tenant.document.finding({ path: ['issuers', user.index, 'issuer'] }, message, fix));
    }
  }
  return findings;
}

/**
 * A bundle counts by its name: what is in it changes without the operator, and what a federated trust domain writes into its own must not
 * keep others' changes out.
 */
function authoritiesOf({ clientCas, clientBundle }: TenantFacts): readonly string[] {
  return clientBundle === undefined ? clientCas : [bundleName(clientBundle)];
}

/** A CA that signs the clients of several tenants must put each in a trust domain of its own. */
function sharedAuthorities(tenants: readonly Known[]): readonly Finding[] {
  const users = new Map<string, Known[]>();
  for (const tenant of tenants) {
    for (const key of new Set(authoritiesOf(tenant.facts))) {
      const list = users.get(key) ?? [];
      list.push(tenant);
      users.set(key, list);
    }
  }
  const reported = new Set<Known>();
  const findings: Finding[] = [];
  for (const list of users.values()) {
    if (list.length < 2) continue;
    const domains = new Map<string | undefined, Known>();
    for (const tenant of list) {
      const domain = tenant.facts.trustDomain;
      const clash = domain === undefined ? list.find((other) => other !== tenant) : domains.get(domain);
      domains.set(domain, tenant);
      if (clash === undefined || reported.has(tenant)) continue;
      reported.add(tenant);
      const message = `the client CA also signs the clients of ${clash.document.file}, and nothing in their certificates says whose they are`;
      const fix = 'use a CA for each tenant, or give each a trustDomain of its own';
      findings.push(tenant.document.finding({ path: ['clientCa'] }, message, fix));
    }
  }
  return findings;
}
