/**
 * A tenant whose certificate or authorities the Workload API has given anew: only that is built again. One certificate may be ten
 * thousand tenants', and rotates every few minutes; to read and check all of their files for it would keep other changes waiting.
 */
import {
  buildAuthorities,
  buildCertificate,
  isWorkloadAuthorities,
  isWorkloadCertificate,
} from './certificate-source.ts';
import type { FileCache } from './file-cache.ts';
import { FileScope } from './file-scope.ts';
import type { TenantSource } from './schema-tenant.ts';
import type { BuiltTenant, TenantDraft } from './tenant.ts';
import { buildTls } from './upstream.ts';

/** The parts of a tenant's file that may come from the Workload API. */
export type WorkloadSources = Pick<TenantSource, 'certificate' | 'clientCa' | 'upstream'>;

/** Those parts, if any of them comes from there. */
export function workloadSources({ certificate, clientCa, upstream }: TenantSource): WorkloadSources | undefined {
  const some =
    (certificate !== undefined && isWorkloadCertificate(certificate)) ||
    isWorkloadAuthorities(clientCa) ||
    isWorkloadUpstream(upstream);
  return some ? { certificate, clientCa, upstream } : undefined;
}

function isWorkloadUpstream({ ca, clientCertificate }: TenantSource['upstream']): boolean {
  return (
    (ca !== undefined && isWorkloadAuthorities(ca)) ||
    (clientCertificate !== undefined && isWorkloadCertificate(clientCertificate))
  );
}

/**
 * The tenant with what the Workload API gives now, all else as it was; undefined when it has to be built from its file: something is
 * missing, or was, which is to be told with its place. `path` and `displayFile` as for `buildTenant`.
 */
export function renewTenant(
  built: BuiltTenant,
  path: string,
  displayFile: string,
  cache: FileCache,
): BuiltTenant | undefined {
  const { draft, workload, document } = built;
  if (draft === undefined || workload === undefined || isIncomplete(draft)) return undefined;
  const scope = new FileScope(document, path, cache);
  for (const file of built.dependents) scope.dependents.add(file);
  const { certificate, clientCa, upstream } = workload;
  const renewed = {
    ...draft,
    ...(certificate !== undefined && isWorkloadCertificate(certificate)
      ? { certificate: buildCertificate(scope, ['certificate'], certificate)?.pair }
      : {}),
    ...(isWorkloadAuthorities(clientCa)
      ? { clientCaPem: buildAuthorities(scope, ['clientCa'], clientCa, true)?.pem ?? '' }
      : {}),
    ...(isWorkloadUpstream(upstream) && draft.upstream.tls !== undefined
      ? {
          upstream: {
            ...draft.upstream,
            tls: buildTls(scope, ['upstream'], upstream, draft.upstream.tls.serverName),
          },
        }
      : {}),
    digest: scope.digest(displayFile),
  };
  return isIncomplete(renewed) ? undefined : { ...built, draft: renewed };
}

function isIncomplete({ certificate, sharesCertificate, clientCaPem, upstream }: TenantDraft): boolean {
  return (
    (certificate === undefined && sharesCertificate !== true) ||
    clientCaPem === '' ||
    upstream.tls?.missing !== undefined
  );
}
