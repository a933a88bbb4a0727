/**
 * What must not be the same in two tenants' files: whatever tells one tenant from another.
 */
import { domainOf, SpiffeOwners } from '../identity/spiffe-pattern.ts';
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
  /** Whose clients are known by their certificates: what one of them has, another may have without its being the same. */
  readonly #identified = new Set<BuiltTenant>();
  /** What several have, with those who have it. */
  readonly #shared = new Set<Set<BuiltTenant>>();

  enter(tenant: BuiltTenant): void {
    if (tenant.facts?.identifiedBy !== undefined) this.#identified.add(tenant);
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
    this.#identified.delete(tenant);
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
    if (this.#shared.size === 0 && this.#identified.size < 2) return [];
    const involved = new Set([...[...this.#shared].flatMap((users) => [...users]), ...this.#identified]);
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
    ...overlappingIds(known),
    ...entangledAuthorities(known),
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

/** A CA that signs the clients of several tenants must put each in a trust domain, or below a path, of its own. */
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
    const domains = new Domains();
    for (const tenant of list) {
      const hasAny = domainsOf(tenant.facts) === undefined;
      const clash = hasAny ? list.find((other) => other !== tenant) : domains.enter(tenant);
      if (clash === undefined || reported.has(tenant)) continue;
      reported.add(tenant);
      const message = `the client CA also signs the clients of ${clash.document.file}, and nothing in their certificates says whose they are`;
      const fix = 'use a CA for each tenant, or give each a trustDomain, or identifiedBy.spiffe, of its own';
      findings.push(tenant.document.finding({ path: ['clientCa'] }, message, fix));
    }
  }
  return findings;
}

/** Trust domains that clients' ids must be of, and whether all ids of these are the tenant's; undefined: they may have any name. */
function domainsOf({
  trustDomain,
  identifiedBy,
}: TenantFacts): { readonly whole: boolean; readonly names: readonly string[] } | undefined {
  if (identifiedBy?.kind === 'client-ca') return undefined;
  if (identifiedBy !== undefined) return { whole: false, names: identifiedBy.ids.map(domainOf) };
  return trustDomain === undefined ? undefined : { whole: true, names: [trustDomain] };
}

/** Who has trust domains, whole or in part; two parts are held against each other by `overlappingIds`. */
class Domains {
  readonly #whole = new Map<string, Known>();
  readonly #part = new Map<string, Known>();

  /** Enters a tenant. Gives another that has one of its trust domains whole, or any of it when the tenant has it whole. */
  enter(tenant: Known): Known | undefined {
    let clash: Known | undefined;
    const domains = domainsOf(tenant.facts);
    for (const name of domains?.names ?? []) {
      clash ??= this.#whole.get(name) ?? (domains?.whole === true ? this.#part.get(name) : undefined);
      (domains?.whole === true ? this.#whole : this.#part).set(name, tenant);
    }
    return clash;
  }
}

/** A SPIFFE id is one tenant's: no pattern may be another's, or lie below one of another's. */
function overlappingIds(tenants: readonly Known[]): readonly Finding[] {
  const owners = new SpiffeOwners<Known>();
  const identified = tenants.flatMap((tenant) => {
    const { identifiedBy } = tenant.facts;
    return identifiedBy?.kind === 'spiffe' ? [{ tenant, ids: identifiedBy.ids }] : [];
  });
  for (const { tenant, ids } of identified) for (const id of ids) owners.enter(id, tenant);
  return identified.flatMap(({ tenant, ids }) =>
    ids.flatMap((id, index) => {
      const other = owners.otherOwner(id, tenant);
      if (other === undefined) return [];
      const message = `${id} is also of ${other.document.file}: a certificate could be either’s`;
      const fix = 'give each tenant ids that no other one has';
      return [tenant.document.finding({ path: ['identifiedBy', 'spiffe', index] }, message, fix)];
    }),
  );
}

/** CAs of one name by which tenants are known: a certificate that names it costs a look at the key of each. */
export const MAX_CAS_OF_ONE_NAME = 8;

/** A CA by which a tenant is known may not stand below another such tenant's: what the one signs, the other would have signed. */
function entangledAuthorities(tenants: readonly Known[]): readonly Finding[] {
  const byName = new Map<string, Known[]>();
  const known = tenants.filter(({ facts }) => facts.identifiedBy?.kind === 'client-ca');
  for (const tenant of known) {
    const { identifiedBy } = tenant.facts;
    for (const name of new Set(identifiedBy?.kind === 'client-ca' ? identifiedBy.names : [])) {
      const list = byName.get(name);
      if (list === undefined) byName.set(name, [tenant]);
      else list.push(tenant);
    }
  }
  const findings: Finding[] = [];
  const report = (tenant: Known, message: string, fix: string): void =>
    void findings.push(tenant.document.finding({ path: ['identifiedBy', 'clientCa'] }, message, fix));
  for (const tenant of known) {
    const issuers = tenant.facts.clientCaIssuers.flatMap((name) => byName.get(name) ?? []);
    const above = issuers.find((other) => other !== tenant);
    if (above === undefined) continue;
    const message = `the client CA is issued by one of the name of ${above.document.file}’s: a certificate could be either’s`;
    report(tenant, message, 'tell one of the two by identifiedBy.spiffe');
  }
  for (const [name, list] of byName) {
    for (const tenant of list.slice(MAX_CAS_OF_ONE_NAME)) {
      const message = `more than ${MAX_CAS_OF_ONE_NAME} tenants that are known by their CA have one named ${name.replaceAll('\n', ', ')}`;
      report(tenant, message, 'give CAs names of their own, or tell tenants by identifiedBy.spiffe');
    }
  }
  return findings;
}
