/**
 * What `listen.shared` in the main file and the tenants that are known by their clients' certificates must have of each other.
 */
import { covers, namesOf } from './certificates.ts';
import type { Finding } from './finding.ts';
import type { BuiltMain } from './main.ts';
import type { BuiltTenant } from './tenant.ts';

/** What is wrong between them. */
export function judgeSharedListener(main: BuiltMain, tenants: readonly BuiltTenant[]): readonly Finding[] {
  // While the main file cannot be understood, nobody knows what it has.
  if (main.draft === undefined) return [];
  const shared = main.draft.listener?.shared;
  const findings = tenants.flatMap((tenant) => judgeTenant(main, tenant));
  if (shared !== undefined && !tenants.some(({ facts }) => facts?.identifiedBy !== undefined)) {
    const message = 'no tenant is known by its clients’ certificates: whoever comes in this way is refused';
    const fix = 'add identifiedBy to a tenant’s file, or remove it';
    findings.push(main.document.finding({ path: ['listen', 'shared'], at: 'key' }, message, fix, 'warning'));
  }
  return findings;
}

function judgeTenant({ draft, sharedCertificate }: BuiltMain, { document, facts }: BuiltTenant): readonly Finding[] {
  if (facts === undefined) return [];
  const shared = draft?.listener?.shared;
  if (shared === undefined) {
    if (!facts.sharesCertificate || facts.identifiedBy === undefined) return [];
    const fix = 'add listen.shared to the main file, or serverNames and certificate here';
    return [
      document.finding(
        { path: ['identifiedBy'], at: 'key' },
        'has no certificate that its clients could be shown',
        fix,
      ),
    ];
  }
  const leaf = sharedCertificate?.leaf;
  return facts.serverNames.flatMap((name, index) => {
    const at = { path: ['serverNames', index] };
    if (shared.serverNames.includes(name)) {
      return [document.finding(at, `${name} is shared by all tenants (listen.shared)`, 'remove it here or there')];
    }
    if (!facts.sharesCertificate || leaf === undefined || covers(leaf, name)) return [];
    const message = `${name} is not among the names of the certificate of listen.shared (${namesOf(leaf)})`;
    return [document.finding(at, message, 'issue that with this name, or add a certificate of the tenant’s')];
  });
}
