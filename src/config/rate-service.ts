/**
 * From what a tenant's file says of its rate limit service to its configuration.
 */
import type { FileScope } from './file-scope.ts';
import type { RateServiceConfig } from './rate-service-config.ts';
import type { RateServiceSource } from './schema-quota.ts';
import { isLoopback, parseUpstreamAddress } from './upstream-address.ts';
import type { UpstreamConfig } from './upstream-config.ts';

/** undefined: there is none, or it cannot be used, which is reported. */
export function buildRateService(
  scope: FileScope,
  service: RateServiceSource | undefined,
): RateServiceConfig | undefined {
  if (service === undefined) return undefined;
  const path = ['quota', 'service'];
  const parsed = parseUpstreamAddress(service.address);
  if (!parsed.ok) {
    scope.report({ path: [...path, 'address'] }, parsed.error.message, parsed.error.fix);
    return undefined;
  }
  const { target, tls } = parsed.value;
  if (!tls && service.ca !== undefined) {
    const fix = 'write https:// in address, or remove it';
    scope.report({ path: [...path, 'ca'], at: 'key' }, 'has a meaning for https:// only', fix);
  }
  if (!tls && target.kind === 'tcp' && !isLoopback(target.host)) {
    const message = `who calls what is told to ${target.host} in clear text, and whoever answers is believed`;
    scope.report(
      { path: [...path, 'address'] },
      message,
      'use https://, or a service on this pod’s loopback',
      'warning',
    );
  }
  const authority = tls && service.ca !== undefined ? scope.authorities([...path, 'ca'], service.ca) : undefined;
  return {
    target: targetOf(target),
    display: service.address,
    tls: tls ? { caPem: authority?.pem } : undefined,
    domain: service.domain,
    descriptors: service.descriptors,
    timeoutMs: service.timeout,
    whenUnavailable: service.whenUnavailable,
  };
}

/** As grpc-js takes it. */
function targetOf(target: UpstreamConfig['target']): string {
  if (target.kind === 'unix') return `unix:${target.path}`;
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return `dns:${host}:${target.port}`;
}
