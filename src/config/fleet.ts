/**
 * From what is written about the fleet to where and how it counts together.
 */
import { createHash } from 'node:crypto';
import type { YamlDocument } from './document.ts';
import type { FileScope } from './file-scope.ts';
import type { Finding } from './finding.ts';
import type { FleetConfig, RedisConfig } from './fleet-config.ts';
import type { OrganisationDraft } from './quota.ts';
import type { LimitConfig } from './quota-config.ts';
import type { FleetSource } from './schema-fleet.ts';
import type { BuiltTenant } from './tenant.ts';
import { isLoopback } from './upstream-address.ts';

/** Builds the section. undefined: something in it cannot be used, which is reported. */
export function buildFleet(scope: FileScope, source: FleetSource): FleetConfig | undefined {
  const redis = buildRedis(scope, source);
  const secret = source.saltFile === undefined ? '' : scope.secret(['fleet', 'saltFile'], source.saltFile);
  if (redis === undefined || secret === undefined) return undefined;
  const { namespace, localShare, lease, timeout } = source;
  if (timeout * 2 > lease) {
    const message = 'is more than half of the lease: one answer that is late, and it is over';
    scope.report({ path: ['fleet', 'timeout'] }, message, 'shorten it, or make the lease longer');
    return undefined;
  }
  const salt = createHash('sha256').update(`bulkhead fleet\0${namespace}\0${secret}`).digest('hex');
  return { namespace, salt, localShare, leaseMs: lease, timeoutMs: timeout, redis };
}

function buildRedis(scope: FileScope, { redis }: FleetSource): RedisConfig | undefined {
  const path = ['fleet', 'redis'];
  const { cluster, protocol, database, username, passwordFile, tls } = redis;
  const addresses = redis.addresses.map((written) => {
    const colon = written.lastIndexOf(':');
    return { host: written.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(written.slice(colon + 1)) };
  });
  for (const [index, { port }] of addresses.entries())
    if (port < 1 || port > 65_535)
      scope.report({ path: [...path, 'addresses', index] }, `${port} is not a port`, 'write a port from 1 to 65535');
  if (cluster && database !== 0)
    scope.report({ path: [...path, 'database'] }, 'is not 0, and a cluster has no other', 'remove it');
  if (username !== undefined && passwordFile === undefined)
    scope.report({ path: [...path, 'username'], at: 'key' }, 'has no password', 'add passwordFile');
  const password = passwordFile === undefined ? undefined : scope.secret([...path, 'passwordFile'], passwordFile);
  if (tls === undefined && addresses.some(({ host }) => !isLoopback(host))) {
    const message = 'sends numbers, and the password, in the clear, and believes whoever answers';
    scope.report({ path, at: 'key' }, message, 'add tls: { ca: … }', 'warning');
  }
  const { ca, serverName, clientCertificate } = tls ?? {};
  const authority = ca === undefined ? undefined : scope.authorities([...path, 'tls', 'ca'], ca);
  const pair =
    clientCertificate === undefined
      ? undefined
      : scope.keyPair(
          { path: [...path, 'tls', 'clientCertificate', 'chain'], named: clientCertificate.chain },
          { path: [...path, 'tls', 'clientCertificate', 'key'], named: clientCertificate.key },
        )?.pair;
  if (scope.failed) return undefined;
  return {
    addresses,
    cluster,
    protocol,
    database,
    tls: tls === undefined ? undefined : { caPem: authority?.pem, serverName, clientCertificate: pair },
    username,
    password,
  };
}

/** Limits of the fleet where the main file does not say where it counts. */
export function judgeFleetLimits(
  main: { readonly document: YamlDocument; readonly organisations: readonly OrganisationDraft[] } | undefined,
  tenants: readonly BuiltTenant[],
): readonly Finding[] {
  if (main === undefined) return [];
  const message = 'is the fleet’s, and the main file does not say where it counts';
  const fix = 'add fleet: { redis: … } to the main file, or remove scope';
  const isFleets = ({ scope }: LimitConfig): boolean => scope === 'fleet';
  const findings: Finding[] = [];
  for (const [index, { limits }] of main.organisations.entries())
    if (limits.some(isFleets)) {
      const path = ['organisations', index, 'limits', limits.findIndex(isFleets), 'scope'];
      findings.push(main.document.finding({ path }, message, fix));
    }
  for (const { document, draft } of tenants) {
    const at = draft?.quota.limits?.findIndex(isFleets) ?? -1;
    if (at !== -1) findings.push(document.finding({ path: ['quota', 'limits', at, 'scope'] }, message, fix));
  }
  return findings;
}
