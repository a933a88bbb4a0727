/**
 * How a tenant's clients are known by their certificates, and how a tenant must be known at all.
 */
import { domainOf, isSpiffePattern } from '../identity/spiffe-pattern.ts';
import type { BuiltAuthorities } from './certificate-source.ts';
import type { FileScope } from './file-scope.ts';
import type { TenantIdentification } from './generation.ts';
import type { TenantSource } from './schema-tenant.ts';

/** Builds a tenant's identification; undefined: it has none, or one that cannot be, which is reported. */
export function buildIdentification(
  scope: FileScope,
  source: TenantSource,
  trustDomain: string | undefined,
  clientCa: BuiltAuthorities | undefined,
): TenantIdentification | undefined {
  judgeNames(scope, source);
  const { identifiedBy } = source;
  if (identifiedBy === undefined) return undefined;
  const path = ['identifiedBy'];
  const { spiffe } = identifiedBy;
  if ((spiffe === undefined) === (identifiedBy.clientCa === undefined)) {
    const message = spiffe === undefined ? 'names neither spiffe nor clientCa' : 'names both spiffe and clientCa';
    scope.report({ path }, message, 'write either spiffe: [spiffe://…] or clientCa: true');
    return undefined;
  }
  if (spiffe !== undefined) {
    const ids = spiffe.map((written) => written.replaceAll('{tenant}', source.tenant));
    for (const [index, id] of ids.entries()) judgePattern(scope, [...path, 'spiffe', index], id, trustDomain);
    return { kind: 'spiffe', ids };
  }
  if (clientCa?.trustDomain !== undefined) {
    const message = 'has no CA to go by: those of the Workload API change without anybody’s asking';
    scope.report({ path: [...path, 'clientCa'] }, message, `write spiffe: [spiffe://${clientCa.trustDomain}/*]`);
    return undefined;
  }
  return { kind: 'client-ca', names: (clientCa?.certificates ?? []).map((ca) => ca.subject ?? '') };
}

function judgePattern(
  scope: FileScope,
  path: readonly (string | number)[],
  id: string,
  trustDomain: string | undefined,
): void {
  if (!isSpiffePattern(id)) {
    const fix = 'write spiffe://domain/path, or spiffe://domain/path/* for all ids below it';
    scope.report({ path }, `${id} is no SPIFFE id that a client can have, nor all below one`, fix);
  } else if (trustDomain !== undefined && domainOf(id) !== trustDomain) {
    const message = `is of the trust domain ${domainOf(id)}, and its clients must be of ${trustDomain}`;
    scope.report({ path }, message, 'write ids of trustDomain, or remove trustDomain');
  }
}

/** By a name of its own with a certificate of its own, or by what its clients' certificates say. */
function judgeNames(scope: FileScope, { serverNames, certificate, identifiedBy }: TenantSource): void {
  if (identifiedBy !== undefined) {
    if (certificate !== undefined && serverNames.length === 0) {
      const message = 'is shown to nobody: there is no server name that it goes with';
      scope.report({ path: ['certificate'], at: 'key' }, message, 'add serverNames, or remove it');
    }
    return;
  }
  if (serverNames.length === 0) {
    const message = 'nothing says who this tenant’s clients are';
    const fix = 'add serverNames: names that they connect to, or identifiedBy: what their certificates say';
    scope.report({ path: ['serverNames'] }, message, fix);
  }
  if (certificate === undefined) {
    const fix = 'add it: the server certificate that this tenant’s clients see';
    scope.report({ path: ['certificate'] }, 'is missing, and without identifiedBy no other is shown', fix);
  }
}
