/**
 * Where telemetry goes: from the main file, and where that says nothing, from OpenTelemetry's environment variables.
 */
import type { FileScope } from './file-scope.ts';
import type { OtlpConfig, TelemetryConfig } from './generation.ts';
import type { MainSource } from './schema-main.ts';
import { judgeOtlpEndpoint } from './upstream-address.ts';

/** The environment variables that are read, as OpenTelemetry's specification defines them. */
export const TELEMETRY_VARIABLES = [
  'OTEL_SERVICE_NAME',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_PROTOCOL',
  'OTEL_EXPORTER_OTLP_HEADERS',
] as const;

export type Environment = Readonly<Record<string, string | undefined>>;

type OtlpSource = NonNullable<MainSource['telemetry']['otlp']>;

/** Makes the telemetry settings; undefined when they have an error, which is then in the scope's findings. */
export function buildTelemetry(
  scope: FileScope,
  source: MainSource['telemetry'],
  environment: Environment,
): TelemetryConfig | undefined {
  const before = errors(scope);
  const otlp = buildOtlp(scope, source.otlp, environment);
  if (source.usage !== undefined && otlp === undefined && errors(scope) === before) {
    scope.report(
      { path: ['telemetry', 'usage'], at: 'key' },
      'is sent by OTLP, and nothing says where to',
      'add telemetry.otlp.endpoint, or remove it',
    );
  }
  if (errors(scope) > before) return undefined;
  return {
    serviceName: source.serviceName ?? variable(environment, 'OTEL_SERVICE_NAME') ?? 'bulkhead',
    otlp,
    traceSampleRatio: source.traces.sample,
    ...(source.usage === undefined ? {} : { usageIntervalMs: source.usage.interval }),
  };
}

function errors(scope: FileScope): number {
  return scope.findings.filter((finding) => finding.severity === 'error').length;
}

/** An empty variable is an unset one (OpenTelemetry specification, "Parsing empty value"). */
function variable(environment: Environment, name: (typeof TELEMETRY_VARIABLES)[number]): string | undefined {
  const value = environment[name];
  return value === undefined || value === '' ? undefined : value;
}

function buildOtlp(scope: FileScope, source: OtlpSource | undefined, environment: Environment): OtlpConfig | undefined {
  const endpoint = source?.endpoint ?? variable(environment, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint === undefined) {
    if (source !== undefined) {
      scope.report(
        { path: ['telemetry', 'otlp'] },
        'has no endpoint',
        'add endpoint: http://host:port, or set OTEL_EXPORTER_OTLP_ENDPOINT',
      );
    }
    return undefined;
  }
  const protocol = source?.protocol ?? protocolVariable(scope, environment);
  if (protocol === undefined) return undefined;
  const flaw = judgeOtlpEndpoint(endpoint, protocol);
  if (flaw !== undefined) {
    if (source?.endpoint === undefined) reportVariable(scope, 'OTEL_EXPORTER_OTLP_ENDPOINT', flaw.message, flaw.fix);
    else scope.report({ path: ['telemetry', 'otlp', 'endpoint'] }, flaw.message, flaw.fix);
    return undefined;
  }
  judgePort(scope, source, endpoint, protocol);
  const tls = endpoint.startsWith('https:');
  const files = source === undefined ? {} : otlpFiles(scope, source, tls);
  return {
    protocol,
    endpoint: endpoint.replace(/\/$/, ''),
    headers: source?.headers ?? headersVariable(scope, environment),
    caPem: files.caPem,
    clientCertificate: files.clientCertificate,
    timeoutMs: source?.timeout ?? 10_000,
  };
}

function otlpFiles(
  scope: FileScope,
  source: OtlpSource,
  tls: boolean,
): Partial<Pick<OtlpConfig, 'caPem' | 'clientCertificate'>> {
  if (!tls) {
    for (const key of ['ca', 'clientCertificate'] as const) {
      if (source[key] === undefined) continue;
      const fix = 'write https:// in endpoint, or remove it';
      scope.report({ path: ['telemetry', 'otlp', key], at: 'key' }, 'has a meaning for https:// only', fix);
    }
    return {};
  }
  return {
    caPem: source.ca === undefined ? undefined : scope.authorities(['telemetry', 'otlp', 'ca'], source.ca)?.pem,
    clientCertificate:
      source.clientCertificate === undefined ? undefined : keyPairOf(scope, source.clientCertificate)?.pair,
  };
}

function keyPairOf(scope: FileScope, { chain, key }: NonNullable<OtlpSource['clientCertificate']>) {
  const path = ['telemetry', 'otlp', 'clientCertificate'];
  return scope.keyPair({ path: [...path, 'chain'], named: chain }, { path: [...path, 'key'], named: key });
}

/** 4317 is the port of OTLP over gRPC, 4318 that of OTLP over HTTP: the other one answers nothing useful. */
function judgePort(
  scope: FileScope,
  source: OtlpSource | undefined,
  endpoint: string,
  protocol: OtlpConfig['protocol'],
): void {
  const odd = protocol === 'grpc' ? '4318' : '4317';
  if (URL.parse(endpoint)?.port !== odd) return;
  const other = protocol === 'grpc' ? 'http/protobuf' : 'grpc';
  const message = `port ${odd} is usually OTLP over ${other}, but the protocol is ${protocol}`;
  const fix = `write protocol: ${other}, or the other port`;
  if (source?.endpoint === undefined) reportVariable(scope, 'OTEL_EXPORTER_OTLP_ENDPOINT', message, fix, 'warning');
  else scope.report({ path: ['telemetry', 'otlp', 'endpoint'] }, message, fix, 'warning');
}

function protocolVariable(scope: FileScope, environment: Environment): OtlpConfig['protocol'] | undefined {
  const text = variable(environment, 'OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/protobuf';
  if (text === 'grpc' || text === 'http/protobuf') return text;
  reportVariable(scope, 'OTEL_EXPORTER_OTLP_PROTOCOL', `"${text}" is not supported`, 'set it to grpc or http/protobuf');
  return undefined;
}

/** `key=value,key=value`, values percent-encoded (W3C baggage without properties). */
function headersVariable(scope: FileScope, environment: Environment): Readonly<Record<string, string>> {
  const text = variable(environment, 'OTEL_EXPORTER_OTLP_HEADERS');
  const headers: Record<string, string> = {};
  for (const member of text?.split(',') ?? []) {
    const match = /^\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*([\x21-\x7e]*)\s*$/.exec(member);
    const value = decode(match?.[2]);
    if (match?.[1] === undefined || value === undefined) {
      // The member may be a secret: it is not repeated.
      reportVariable(
        scope,
        'OTEL_EXPORTER_OTLP_HEADERS',
        'is not key=value,key=value with percent-encoded values',
        'correct it',
      );
      return {};
    }
    headers[match[1]] = value;
  }
  return headers;
}

function decode(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    const value = decodeURIComponent(text);
    return /^[\x20-\x7e]*$/.test(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function reportVariable(
  scope: FileScope,
  name: (typeof TELEMETRY_VARIABLES)[number],
  message: string,
  fix: string,
  severity: 'error' | 'warning' = 'error',
): void {
  scope.add([{ file: 'environment', line: 0, column: 0, path: name, message, fix, severity }]);
}
