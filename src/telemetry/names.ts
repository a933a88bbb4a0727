/**
 * Every name that leaves in metrics, spans, audit logs and log lines, with its label set. No label's value comes from a
 * tenant: tenants and methods come from the configuration and the method table, reasons and codes from closed lists.
 */

/** gRPC status names by number. */
export const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** The name of a gRPC status; one that gRPC does not define counts as UNKNOWN, as clients read it. */
export function statusText(status: number): string {
  return STATUS_NAMES[status] ?? 'UNKNOWN';
}

/** Upper bounds in seconds, the semantic conventions' for `rpc.server.call.duration`; the last bucket is +Inf. */
export const DURATION_BUCKETS_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
] as const;

/** Label value of a tenant that is not in the configuration. */
export const OTHER_TENANT = '_other';
/** Label value of what came when a label already had all the values that it may have. */
export const OVERFLOW = '_overflow';

export const COUNTERS = {
  bulkhead_calls_total: {
    labels: ['tenant', 'method', 'code'],
    help: 'Calls that have ended, by what the caller got.',
  },
  bulkhead_denials_total: { labels: ['tenant', 'reason'], help: 'Calls that were refused, by reason.' },
  bulkhead_usage_calls_total: {
    labels: ['tenant', 'outcome'],
    help: 'Calls on record, by outcome; of all time, over restarts.',
  },
  bulkhead_usage_bytes_total: {
    labels: ['tenant', 'direction'],
    help: 'Bytes of the messages of calls on record, by direction: request or response; of all time, over restarts.',
  },
  bulkhead_usage_messages_total: {
    labels: ['tenant', 'direction'],
    help: 'Messages of calls on record, by direction: request or response; of all time, over restarts.',
  },
  bulkhead_shadow_decisions_total: {
    labels: ['tenant', 'verdict'],
    help: 'Calls that rules in shadow would have decided otherwise: allowed or denied.',
  },
  bulkhead_queue_waits_total: { labels: ['tenant'], help: 'Calls that had to wait for their turn.' },
  bulkhead_queue_wait_seconds_total: {
    labels: ['tenant'],
    help: 'How long calls have waited for their turn, all together.',
  },
  bulkhead_refusals_total: {
    labels: ['reason'],
    help: 'Connections and streams that were refused before there was a call, by reason.',
  },
  bulkhead_config_reload_failures_total: {
    labels: [],
    help: 'Changes of the configuration that were refused; the last good one stayed.',
  },
  bulkhead_config_reloads_total: { labels: [], help: 'Changes of the configuration that were applied.' },
  bulkhead_worker_restarts_total: { labels: [], help: 'Data-plane threads that died and were replaced.' },
  bulkhead_worker_reports_total: {
    labels: ['worker'],
    help: 'Times that a data-plane thread has told its counts; one that stands still is stuck.',
  },
  bulkhead_audit_lost_records_total: {
    labels: ['writer'],
    help: 'Audit records that could not be written and were lost.',
  },
  bulkhead_revocation_list_failures_total: {
    labels: ['tenant'],
    help: 'Times that a revocation list of the tenant’s CAs could not be had, or was none.',
  },
  bulkhead_ocsp_answers_total: {
    labels: ['tenant', 'answer'],
    help: 'Questions to OCSP responders about clients’ certificates, by what came of them: good, revoked, unknown, none.',
  },
  bulkhead_rate_service_answers_total: {
    labels: ['tenant', 'answer'],
    help: 'Calls that the tenant’s rate limit service was asked about, by its answer: ok, over_limit, or unavailable for none.',
  },
  bulkhead_fleet_store_failures_total: {
    labels: ['why'],
    help: 'Questions to the store of the fleet’s limits that it did not answer as it should, by why.',
  },
  bulkhead_workload_api_refused_total: {
    labels: ['stream'],
    help: 'Messages of the SPIFFE Workload API, and authorities in them, that were malformed and were not taken over.',
  },
} as const;

export const GAUGES = {
  bulkhead_build_info: { labels: ['version', 'node'], help: 'Always 1; the version is in the labels.' },
  bulkhead_bytes_in_flight: { labels: ['tenant'], help: 'Bytes that are charged to the byte account of the tenant.' },
  bulkhead_egress_bytes_in_flight: {
    labels: ['listen'],
    help: 'Bytes that are charged to the byte account of the egress listener.',
  },
  bulkhead_held_bytes: {
    labels: ['tenant'],
    help: 'Memory that the tenant makes the process hold: bytes in flight, buffers, its calls.',
  },
  bulkhead_held_bytes_of_all: {
    labels: [],
    help: 'The same of all tenants and egress listeners together, which the ceiling is for.',
  },
  bulkhead_held_bytes_ceiling: { labels: [], help: 'What they may hold (limits.maxHeld); above it calls are ended.' },
  bulkhead_resident_bytes: { labels: [], help: 'Memory of the process that is resident, whatever it is for.' },
  bulkhead_calls_in_progress: { labels: ['worker'], help: 'Calls that have begun and not ended.' },
  bulkhead_queued_calls: {
    labels: ['tenant'],
    help: 'Calls that wait for their turn now. Only where calls do (scheduling).',
  },
  bulkhead_seated_calls: {
    labels: ['tenant'],
    help: 'Calls that have their turn: at the model server, or their answers on the way. Only where calls wait (scheduling).',
  },
  bulkhead_connections: { labels: ['worker'], help: 'Open connections of clients.' },
  bulkhead_config_generation: { labels: [], help: 'Number of the configuration generation that new calls begin with.' },
  bulkhead_upstream_healthy: {
    labels: ['tenant'],
    help: '0 while a worker finds the model server of the tenant unhealthy and refuses its calls, 1 while none does. Only where it is asked and has answered.',
  },
  bulkhead_fleet_store_up: {
    labels: [],
    help: '1 while the store of the fleet’s limits answers, 0 while each sidecar has its own share of them. Only where there is one.',
  },
  bulkhead_fleet_leases: {
    labels: [],
    help: 'Limits, callers and models of which this sidecar leases from the store.',
  },
  bulkhead_audit_backlog_bytes: {
    labels: [],
    help: 'Bytes of audit segments that the collector has not acknowledged.',
  },
  bulkhead_audit_blocked: { labels: ['writer'], help: '1 while the audit log of the writer cannot be written.' },
  bulkhead_telemetry_delivered_records: {
    labels: [],
    help: 'Records that the collector has acknowledged since the telemetry thread was started.',
  },
  bulkhead_telemetry_rejected_records: {
    labels: [],
    help: 'Records that the collector has refused for good since the telemetry thread was started.',
  },
  bulkhead_workload_api_followed: {
    labels: ['stream'],
    help: '1 while the stream of the SPIFFE Workload API is followed, 0 while it fails and what it last gave is used.',
  },
  bulkhead_workload_missing: {
    labels: [],
    help: 'Certificates and authorities that the configuration takes from the SPIFFE Workload API and that it does not give.',
  },
  bulkhead_svid_not_after_seconds: {
    labels: ['svid'],
    help: 'When the certificate from the SPIFFE Workload API ends, in Unix seconds.',
  },
} as const;

export const DURATION_HISTOGRAM = {
  name: 'bulkhead_call_duration_seconds',
  labels: ['tenant'],
  help: 'Time from the first byte of a call to its last.',
} as const;

export type CounterName = keyof typeof COUNTERS;
export type GaugeName = keyof typeof GAUGES;

/** Attributes of spans and audit logs (OpenTelemetry semantic conventions; what they have no name for is `bulkhead.…`). */
export const ATTRIBUTE = {
  rpcSystemName: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  rpcMethodOriginal: 'rpc.method_original',
  // Released conventions (1.39 to 1.44) say `rpc.response.status_code`, the next ones `rpc.status_code`: both are sent.
  rpcResponseStatusCode: 'rpc.response.status_code',
  rpcStatusCode: 'rpc.status_code',
  errorType: 'error.type',
  peerAddress: 'network.peer.address',
  peerPort: 'network.peer.port',
  proxyAddress: 'bulkhead.proxy.address',
  serverAddress: 'server.address',
  certificateSha256: 'tls.client.hash.sha256',
  serverName: 'tls.client.server_name',
  tenantId: 'bulkhead.tenant.id',
  tenantVerified: 'bulkhead.tenant.verified',
  callerId: 'bulkhead.caller.id',
  modelName: 'bulkhead.model.name',
  modelVersion: 'bulkhead.model.version',
  decision: 'bulkhead.decision',
  decisionReason: 'bulkhead.decision.reason',
  decisionRule: 'bulkhead.decision.rule',
  decisionDetail: 'bulkhead.decision.detail',
  shadowDecision: 'bulkhead.shadow.decision',
  shadowRule: 'bulkhead.shadow.rule',
  outcome: 'bulkhead.outcome',
  durationMicros: 'bulkhead.duration_us',
  requestBytes: 'bulkhead.request.bytes',
  responseBytes: 'bulkhead.response.bytes',
  requestMessages: 'bulkhead.request.messages',
  responseMessages: 'bulkhead.response.messages',
  upstream: 'bulkhead.upstream',
  generation: 'bulkhead.config.generation',
  gateVerdict: 'bulkhead.gate.verdict',
  gateMicros: 'bulkhead.gate.duration_us',
  refusalReason: 'bulkhead.refusal.reason',
  refusalCount: 'bulkhead.refusal.count',
  event: 'bulkhead.event',
  auditWriter: 'bulkhead.audit.writer',
  auditSegment: 'bulkhead.audit.segment',
  auditRecord: 'bulkhead.audit.record',
  auditHash: 'bulkhead.audit.hash',
} as const;

/** `EventName` of the audit logs. */
export const AUDIT_EVENT = {
  call: 'bulkhead.audit.call',
  refusal: 'bulkhead.audit.refusal',
  event: 'bulkhead.audit.event',
} as const;
