/**
 * Where the SPIFFE Workload API is: as the main file says, else by the variable that SPIFFE_Workload_Endpoint.md §4 names.
 */
import { isIP } from 'node:net';
import { err, ok, type Result } from '../kernel/result.ts';
import type { FileScope } from './file-scope.ts';
import type { WorkloadApiConfig } from './generation.ts';
import type { MainSource } from './schema-main.ts';
import type { Environment } from './telemetry.ts';
import { type AddressFlaw, isLoopback, parseUpstreamAddress } from './upstream-address.ts';

export const ENDPOINT_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET';

const FIX = 'write unix:/path, or tcp://127.0.0.1:port';

/** Builds it; undefined when nothing says where it is, or what says so cannot be used, which is reported. */
export function buildWorkloadApi(
  scope: FileScope,
  { workloadApi, startTimeout }: MainSource['spiffe'],
  environment: Environment,
): WorkloadApiConfig | undefined {
  const variable = environment[ENDPOINT_VARIABLE];
  const text = workloadApi ?? (variable === '' ? undefined : variable);
  if (text === undefined) return undefined;
  const parsed = parseEndpoint(text);
  if (parsed.ok) return { target: parsed.value, display: text, startTimeoutMs: startTimeout };
  const where = workloadApi === undefined ? ` (${ENDPOINT_VARIABLE})` : '';
  scope.report({ path: ['spiffe', 'workloadApi'] }, `${parsed.error.message}${where}`, parsed.error.fix);
  return undefined;
}

/** Parses `unix:/path`, `unix:///path` or `tcp://address:port`. Private keys come over it in clear text: so it is this machine. */
export function parseEndpoint(text: string): Result<WorkloadApiConfig['target'], AddressFlaw> {
  if (text.startsWith('unix://') && !text.startsWith('unix:///'))
    return err({ message: `"${text}" names a host, which a Unix socket has not`, fix: FIX });
  if (text.startsWith('unix:')) {
    const parsed = parseUpstreamAddress(text.replace(/^unix:\/\//, 'unix:'));
    if (!parsed.ok) return parsed;
    return ok(parsed.value.target);
  }
  const match = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (match === null || isIP(host) !== (match[1] === undefined ? 4 : 6) || port < 1 || port > 65_535) {
    return err({ message: `"${text}" is no Workload API’s socket`, fix: FIX });
  }
  if (!isLoopback(host)) {
    const message = `${host} is not a loopback address: private keys would come in clear text over the network`;
    return err({ message, fix: FIX });
  }
  return ok({ kind: 'tcp', host, port });
}
