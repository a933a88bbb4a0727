import { describe, expect, it } from 'vitest';
import { MAX_METHODS_PER_TENANT, MAX_REASONS, WorkerMetrics } from '../../../src/telemetry/metrics.ts';
import { MetricsRegistry } from '../../../src/telemetry/metrics-registry.ts';

const INFER = 'inference.GRPCInferenceService/ModelInfer';

function scrape(fill: (metrics: WorkerMetrics) => void, registry = new MetricsRegistry()): string[] {
  const metrics = new WorkerMetrics();
  fill(metrics);
  registry.merge('worker-0', structuredClone(metrics.drain()));
  return registry.render().split('\n');
}

describe('what a worker counts', () => {
  it('is there by tenant, method and code, and adds up over workers and drains', () => {
    const registry = new MetricsRegistry();
    scrape((metrics) => metrics.call('acme', INFER, 0, 1_000, undefined), registry);
    const lines = scrape((metrics) => {
      metrics.call('acme', INFER, 0, 1_000, undefined);
      metrics.call('umbra', INFER, 7, 90, 'model_denied');
      metrics.refusal('TLS_CLIENT_CERT_REQUIRED');
    }, registry);
    expect(lines).toContain(`bulkhead_calls_total{tenant="acme",method="${INFER}",code="OK"} 2`);
    expect(lines).toContain(`bulkhead_calls_total{tenant="umbra",method="${INFER}",code="PERMISSION_DENIED"} 1`);
    expect(lines).toContain('bulkhead_denials_total{tenant="umbra",reason="model_denied"} 1');
    expect(lines).toContain('bulkhead_refusals_total{reason="TLS_CLIENT_CERT_REQUIRED"} 1');
    expect(lines).toContain('bulkhead_worker_reports_total{worker="worker-0"} 2');
  });

  it('how often and how long calls have waited for their turn is there by tenant, where any have', () => {
    const lines = scrape((metrics) => {
      metrics.waited('acme', 1_500_000);
      metrics.waited('acme', 500_000);
      metrics.call('umbra', INFER, 0, 1, undefined);
    });
    expect(lines).toContain('bulkhead_queue_waits_total{tenant="acme"} 2');
    expect(lines).toContain('bulkhead_queue_wait_seconds_total{tenant="acme"} 2');
    expect(lines.some((line) => line.startsWith('bulkhead_queue_waits_total{tenant="umbra"}'))).toBe(false);
  });

  it('that rules in shadow would have decided otherwise is there by what they would have decided', () => {
    const worker = new WorkerMetrics();
    const registry = new MetricsRegistry();
    registry.setTenants(['acme']);
    for (const verdict of ['deny', 'deny', 'allow'] as const) worker.shadow('acme', verdict);
    worker.shadow('nobody', 'deny');
    registry.merge('worker-0', worker.drain());
    registry.merge('worker-0', worker.drain());
    const lines = registry.render().split('\n');
    expect(lines).toContain('bulkhead_shadow_decisions_total{tenant="acme",verdict="allow"} 1');
    expect(lines).toContain('bulkhead_shadow_decisions_total{tenant="acme",verdict="deny"} 2');
    expect(lines).toContain('bulkhead_shadow_decisions_total{tenant="_other",verdict="deny"} 1');
  });

  it('is taken once', () => {
    const metrics = new WorkerMetrics();
    metrics.call('acme', INFER, 0, 1, undefined);
    expect(metrics.drain().tenants).toHaveLength(1);
    expect(metrics.drain().tenants).toHaveLength(0);
  });

  it('puts a duration at a bound below it, and one microsecond more above it', () => {
    const lines = scrape((metrics) => {
      metrics.call('acme', INFER, 0, 5_000, undefined);
      metrics.call('acme', INFER, 0, 5_001, undefined);
      metrics.call('acme', INFER, 0, 10_000_001, undefined);
    });
    const name = 'bulkhead_call_duration_seconds';
    expect(lines).toContain(`${name}_bucket{tenant="acme",le="0.005"} 1`);
    expect(lines).toContain(`${name}_bucket{tenant="acme",le="0.01"} 2`);
    expect(lines).toContain(`${name}_bucket{tenant="acme",le="10"} 2`);
    expect(lines).toContain(`${name}_bucket{tenant="acme",le="+Inf"} 3`);
    expect(lines).toContain(`${name}_count{tenant="acme"} 3`);
    expect(lines).toContain(`${name}_sum{tenant="acme"} 10.010002`);
  });

  it('counts a status that gRPC does not define as UNKNOWN', () => {
    const lines = scrape((metrics) => metrics.call('acme', INFER, 17, 1, undefined));
    expect(lines).toContain(`bulkhead_calls_total{tenant="acme",method="${INFER}",code="UNKNOWN"} 1`);
  });

  it('keeps the most methods and reasons apart, and gathers one more as _overflow', () => {
    const lines = scrape((metrics) => {
      for (let i = 0; i <= MAX_METHODS_PER_TENANT; i++) metrics.call('acme', `m${i}`, 0, 1, undefined);
      for (let i = 0; i <= MAX_REASONS; i++) metrics.refusal(`r${i}`);
    });
    expect(lines.filter((line) => line.startsWith('bulkhead_calls_total{'))).toHaveLength(MAX_METHODS_PER_TENANT + 1);
    expect(lines).toContain(`bulkhead_calls_total{tenant="acme",method="m${MAX_METHODS_PER_TENANT - 1}",code="OK"} 1`);
    expect(lines).toContain('bulkhead_calls_total{tenant="acme",method="_overflow",code="OK"} 1');
    expect(lines).toContain('bulkhead_refusals_total{reason="_overflow"} 1');
  });
});

describe('the registry', () => {
  it('gathers tenants that are not configured as _other, and forgets those that are gone', () => {
    const registry = new MetricsRegistry();
    registry.setTenants(['acme', 'umbra']);
    const call = (tenant: string) => scrape((metrics) => metrics.call(tenant, INFER, 0, 1, undefined), registry);
    call('acme');
    call('umbra');
    const lines = call('made-up-by-a-client');
    expect(lines).toContain(`bulkhead_calls_total{tenant="_other",method="${INFER}",code="OK"} 1`);
    registry.setGauge('bulkhead_bytes_in_flight', 5, { tenant: 'umbra' });
    registry.setTenants(['acme']);
    expect(registry.render()).toContain('tenant="acme"');
    expect(registry.render()).not.toContain('tenant="umbra"');
  });

  it('gives the most tenants series of their own, and gathers one more as _overflow', () => {
    const registry = new MetricsRegistry({ maxTenants: 2 });
    for (const tenant of ['a', 'b', 'c', 'a']) {
      scrape((metrics) => metrics.call(tenant, INFER, 0, 1, undefined), registry);
    }
    const lines = registry.render().split('\n');
    expect(lines).toContain(`bulkhead_calls_total{tenant="a",method="${INFER}",code="OK"} 2`);
    expect(lines).toContain(`bulkhead_calls_total{tenant="_overflow",method="${INFER}",code="OK"} 1`);
  });

  it('says help and type of every family, and shows counters without labels from the start', () => {
    const text = new MetricsRegistry().render();
    expect(text).toContain('# TYPE bulkhead_call_duration_seconds histogram\n');
    expect(text).toContain('# TYPE bulkhead_worker_restarts_total counter\nbulkhead_worker_restarts_total 0\n');
    expect(text).toContain('# TYPE bulkhead_audit_backlog_bytes gauge\n');
  });

  it('escapes label values', () => {
    const registry = new MetricsRegistry();
    registry.setGauge('bulkhead_build_info', 1, { version: 'a"b\\c\nd', node: '26' });
    expect(registry.render()).toContain('bulkhead_build_info{version="a\\"b\\\\c\\nd",node="26"} 1\n');
  });

  it('refuses labels that are not the metric’s', () => {
    const registry = new MetricsRegistry();
    expect(() => registry.count('bulkhead_refusals_total')).toThrow(TypeError);
    expect(() => registry.count('bulkhead_refusals_total', { tenant: 'acme' })).toThrow(TypeError);
  });
});
