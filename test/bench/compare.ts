/**
 * The whole comparison, part by part. All subjects of a part run at the same time and take turns under load.
 */
import { type Contender, contend, type Say } from './contender.ts';
import { cpuPerCall, printCpuPerCall, printVariants } from './cpu-per-call.ts';
import { Generator } from './generator-handle.ts';
import type { PreparedGround } from './ground.ts';
import { idleConnections } from './idle-connections.ts';
import { halfLoad, latency } from './latency.ts';
import type { Axis } from './load.ts';
import { type ManyTenants, reloadUnderLoad, startManyTenants, tenantsAxis } from './many-tenants.ts';
import { newConnections } from './new-connections.ts';
import type { Plan } from './plan.ts';
import type { Row } from './row.ts';
import { bulkheadEverything, bulkheadRelay } from './subjects/bulkhead.ts';
import { direct } from './subjects/direct.ts';
import { envoyEverything, envoyRelay } from './subjects/envoy.ts';
import { haproxy } from './subjects/haproxy.ts';
import { nginx } from './subjects/nginx.ts';
import type { Subject } from './subjects/subject.ts';

/** The axis on which workers and tenants are compared. */
const WIDE: Axis = { name: '10x50', connections: 10, streams: 50, messageBytes: 100 };

/** Runs every part of the plan. */
export async function compare(
  ground: PreparedGround,
  plan: Plan,
  nodeFlags: readonly string[],
  say: Say,
): Promise<readonly Row[]> {
  const sidecar = bulkheadEverything({ nodeFlags });
  const proxies: readonly Subject[] = [
    haproxy,
    nginx,
    envoyRelay,
    bulkheadRelay({ nodeFlags }),
    sidecar,
    envoyEverything,
  ];
  const rows: Row[] = [];
  const contenders: Contender[] = [];
  const generator = await Generator.start();
  try {
    const messageBytes = [...new Set(plan.axes.map((axis) => axis.messageBytes))];
    for (const subject of [direct, ...proxies]) contenders.push(await contend(ground, subject, messageBytes, say));
    await checkExports(ground);
    for (const axis of plan.axes) {
      rows.push(...(await cpuPerCall(contenders, axis, plan)));
      printCpuPerCall(axis.name, rows, say);
    }
    if (plan.latency !== undefined) {
      const rate = halfLoad(rows, plan.latency.maxCallsPerSecond);
      rows.push(...(await latency(contenders, generator, plan.latency, rate, say)));
    }
    if (plan.newConnections !== undefined) {
      rows.push(...(await newConnections(contenders, plan.newConnections, plan, say)));
    }
    const one = contenders.find((contender) => contender.subject === sidecar);
    if (one !== undefined) {
      rows.push(...(await withWorkers(ground, one, plan, nodeFlags, say)));
      rows.push(...(await withTenants(ground, one, plan, nodeFlags, say)));
    }
    for (const contender of contenders.splice(0)) await contender.running.stop();
    if (plan.idle !== undefined) rows.push(...(await idleConnections(ground, proxies, generator, plan.idle, say)));
    return rows;
  } finally {
    for (const contender of contenders) await contender.running.stop();
    await generator.stop();
  }
}

/** Spans must be on their way when they are said to be. The checks made calls; exporters send them within seconds. */
async function checkExports(ground: PreparedGround): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { http, grpc } = await ground.exported();
    if (http > 0 && grpc > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the sidecar or Envoy exports no spans');
}

async function withWorkers(
  ground: PreparedGround,
  one: Contender,
  plan: Plan,
  nodeFlags: readonly string[],
  say: Say,
): Promise<readonly Row[]> {
  const nameOf = (workers: number): string => `10x50, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
  const rows: Row[] = [];
  for (const workers of plan.workers) {
    const subject = bulkheadEverything({ nodeFlags, workers, variant: `${workers} workers` });
    const many = await contend(ground, subject, [100], say);
    try {
      const measured = await cpuPerCall([one, many], WIDE, plan, (who) => nameOf(who === one ? 1 : workers));
      printVariants('Workers', measured, say);
      rows.push(...measured);
    } finally {
      await many.running.stop();
    }
  }
  return rows;
}

async function withTenants(
  ground: PreparedGround,
  one: Contender,
  plan: Plan,
  nodeFlags: readonly string[],
  say: Say,
): Promise<readonly Row[]> {
  if (plan.tenants.length === 0) return [];
  const nameOf = (count: number): string => `10x50, ${count === 1 ? '1 tenant' : tenantsAxis(count)}`;
  const rows: Row[] = [];
  const many: ManyTenants[] = [];
  try {
    for (const count of plan.tenants)
      many.push(await startManyTenants(ground, count, { nodeFlags }, plan.tenantsIdleSeconds, say));
    const contenders = [one, ...many.map(({ contender }) => contender)];
    const counts = new Map(many.map(({ contender, count }) => [contender, count]));
    const measured = await cpuPerCall(contenders, WIDE, plan, (who) => nameOf(counts.get(who) ?? 1));
    printVariants('Tenants, one of which is called', measured, say);
    rows.push(...many.flatMap((started) => started.rows), ...measured);
    const reload = plan.name === 'smoke' ? { seconds: 1, rounds: 1 } : { seconds: 4, rounds: 3 };
    for (const started of many) rows.push(...(await reloadUnderLoad(ground, started, WIDE, reload, say)));
    return rows;
  } finally {
    for (const { contender } of many) await contender.running.stop();
  }
}
