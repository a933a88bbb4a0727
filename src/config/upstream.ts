/**
 * From what a file says of a server that calls go on to, to its configuration.
 */
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { type BuiltAuthorities, buildAuthorities, buildCertificate } from './certificate-source.ts';
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { UpstreamSource } from './schema-tenant.ts';
import { isLoopback, parseUpstreamAddress } from './upstream-address.ts';
import type { HealthCheckConfig, UpstreamConfig } from './upstream-config.ts';

/** Builds the upstream that stands at a path of the file; undefined when it cannot be used, which is reported. */
export function buildUpstream(scope: FileScope, path: ValuePath, upstream: UpstreamSource): UpstreamConfig | undefined {
  const at = (...keys: readonly string[]): ValuePath => [...path, ...keys];
  const parsed = parseUpstreamAddress(upstream.address);
  if (!parsed.ok) {
    scope.report({ path: at('address') }, parsed.error.message, parsed.error.fix);
    return undefined;
  }
  if (upstream.minConnections > upstream.maxConnections) {
    scope.report({ path: at('minConnections') }, 'is more than maxConnections', 'make it at most maxConnections');
  }
  if (upstream.circuit.maxOpenTime < upstream.circuit.openTime) {
    scope.report({ path: at('circuit', 'maxOpenTime') }, 'is less than openTime', 'make it at least openTime');
  }
  const { healthCheck } = upstream;
  if (healthCheck !== undefined && healthCheck.timeout > healthCheck.interval) {
    scope.report({ path: at('healthCheck', 'timeout') }, 'is more than interval', 'make it at most interval');
  }
  const { target, tls } = parsed.value;
  const host = target.kind === 'tcp' ? target.host : 'localhost';
  if (!tls) {
    for (const key of ['ca', 'clientCertificate', 'serverName', 'spiffeId'] as const) {
      if (upstream[key] === undefined) continue;
      scope.report(
        { path: at(key), at: 'key' },
        'has a meaning for https:// only',
        'write https:// in address, or remove it',
      );
    }
    if (!isLoopback(host)) {
      const fix = 'use https://, or a server on this pod’s loopback';
      scope.report({ path: at('address') }, `calls go to ${host} in clear text`, fix, 'warning');
    }
  }
  return {
    target,
    tls: tls ? buildTls(scope, path, upstream, host) : undefined,
    display: upstream.address,
    connectTimeoutMs: upstream.connectTimeout,
    minConnections: upstream.minConnections,
    maxConnections: upstream.maxConnections,
    idleTimeoutMs: upstream.idleTimeout,
    maxPendingCalls: upstream.maxPendingCalls,
    ...(upstream.maxConcurrentCalls === undefined ? {} : { maxConcurrentCalls: upstream.maxConcurrentCalls }),
    circuit: {
      failures: upstream.circuit.failures,
      openMs: upstream.circuit.openTime,
      maxOpenMs: upstream.circuit.maxOpenTime,
    },
    ...(healthCheck === undefined ? {} : { healthCheck: checkOf(healthCheck) }),
    authority: upstream.authority ?? (target.kind === 'tcp' ? hostAndPort(target.host, target.port) : 'localhost'),
  };
}

/** Builds what TLS to the upstream that stands at a path needs. */
export function buildTls(
  scope: FileScope,
  path: ValuePath,
  { ca, clientCertificate, serverName, spiffeId }: UpstreamSource,
  host: string,
): NonNullable<UpstreamConfig['tls']> {
  const authorities = ca === undefined ? undefined : buildAuthorities(scope, [...path, 'ca'], ca, false);
  const certificate =
    clientCertificate === undefined
      ? undefined
      : buildCertificate(scope, [...path, 'clientCertificate'], clientCertificate);
  judgeServerId(scope, [...path, 'spiffeId'], spiffeId, authorities);
  const missing =
    authorities?.pem === ''
      ? `the Workload API gives no authorities of ${authorities.trustDomain}`
      : certificate !== undefined && certificate.pair === undefined
        ? `the Workload API does not give ${certificate.named}`
        : undefined;
  return {
    caPem: authorities?.pem,
    serverName: serverName ?? host,
    clientCertificate: certificate?.pair,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    ...(missing === undefined ? {} : { missing }),
  };
}

/** Whoever may sign for another trust domain could sign this id, too. */
function judgeServerId(
  scope: FileScope,
  path: ValuePath,
  spiffeId: string | undefined,
  authorities: BuiltAuthorities | undefined,
): void {
  if (spiffeId === undefined) return;
  const trustDomain = authorities?.trustDomain;
  const own = parseSpiffeId(spiffeId)?.trustDomain;
  if (own === undefined) scope.report({ path }, 'is no SPIFFE id', 'write spiffe://trust-domain/path');
  else if (trustDomain !== undefined && trustDomain !== own) {
    const message = `is not of the trust domain ${trustDomain}, whose authorities ca.spiffeBundle names`;
    scope.report({ path }, message, `name the bundle of ${own}, or an id of ${trustDomain}`);
  }
}

function checkOf(source: NonNullable<UpstreamSource['healthCheck']>): HealthCheckConfig {
  const { service, interval, timeout, unhealthyThreshold, healthyThreshold } = source;
  return { service, intervalMs: interval, timeoutMs: timeout, unhealthyThreshold, healthyThreshold };
}

function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
