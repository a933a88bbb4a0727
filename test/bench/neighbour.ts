/**
 * What a neighbour feels of an attack: `node test/bench/neighbour.ts [--json FILE] [--only TEXT] [--seconds N]`
 *
 * The sidecar has one core. On the other are the model server, a client of one tenant that calls at a steady rate, and an attacker that
 * is another tenant and comes back whenever it is sent away, in processes of their own: what the attacker's work costs is not in the
 * numbers, as it is in `test/conformance/attacks-*`. Quiet times and attacks take turns.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { accepts, Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { tenantPki } from '../fakes/pki.ts';
import type { CallTarget } from './caller.ts';
import { LOAD_CORE } from './load.ts';
import { Disturbance, type Machine, machine } from './machine.ts';
import { BENCH_ATTACKS } from './neighbour-attacks.ts';
import type { AttackOrder, CallOrder, Felt, Struck } from './neighbour-messages.ts';
import { OrderedProcess } from './ordered-process.ts';
import { median } from './row.ts';
import { pinned, type Running } from './subjects/subject.ts';

/** Of the neighbour: enough to have a p99 in seconds, far from what the sidecar can take. */
const CALLS_PER_SECOND = 500;
const CONNECTIONS = 4;
const QUIET_SECONDS = 1.5;
const PAUSE_MS = 100;
/** What one call may take longer while another tenant attacks. */
const GOAL_RATIO = 2;

interface AttackRow {
  readonly attack: string;
  readonly quiet: Felt;
  readonly attacked: Felt;
  /** Of the p99 under attack to the median p99 of all quiet times. */
  readonly ratio: number;
  readonly struck: Struck;
}

interface NeighbourResult {
  readonly startedAt: string;
  readonly machine: Machine;
  /** Of the machine's CPU, what others used meanwhile. */
  readonly othersShare: number;
  readonly callsPerSecond: number;
  readonly quietP99Ms: number;
  readonly rows: readonly AttackRow[];
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '3' },
  },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);

interface Stage {
  readonly neighbour: CallTarget;
  readonly attacker: CallTarget;
  readonly caPem: string;
  stop(): Promise<void>;
}

async function prepare(directory: string): Promise<Stage> {
  const [port = 0, adminPort = 0, backendPort = 0] = await freePorts(3);
  mkdirSync(join(directory, 'tenants'));
  mkdirSync(join(directory, 'audit'), { mode: 0o700 });
  const attacker = writeTenant(directory, 'acme', port, backendPort);
  const neighbour = writeTenant(directory, 'globex', port, backendPort);
  const file = join(directory, 'bulkhead.yaml');
  const config = {
    listen: { address: `127.0.0.1:${port}` },
    admin: { address: `127.0.0.1:${adminPort}` },
    workers: 1,
    audit: { directory: 'audit', maxSize: '1GiB', whenFull: 'drop' },
    log: { level: 'error' },
    tenants: 'tenants',
  };
  writeFileSync(file, stringify(config));
  const backend = await Child.spawn('the backend', {
    command: 'taskset',
    args: ['-c', LOAD_CORE, process.execPath, join(import.meta.dirname, 'backend.ts'), String(backendPort)],
  });
  await backend.until('listening', () => accepts(backendPort));
  const main = join(import.meta.dirname, '../../src/main.ts');
  let sidecar: Running | undefined;
  try {
    sidecar = await pinned({
      name: 'the sidecar',
      command: process.execPath,
      args: [main, 'run', '--config', file],
      port,
    });
  } catch (error) {
    await backend.stop();
    throw error;
  }
  const stop = async (): Promise<void> => {
    await sidecar.stop();
    await backend.stop();
  };
  return { neighbour: neighbour.target, attacker: attacker.target, caPem: attacker.caPem, stop };
}

function writeTenant(
  directory: string,
  id: string,
  port: number,
  backendPort: number,
): { readonly target: CallTarget; readonly caPem: string } {
  const pki = tenantPki(id);
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, `${id}-${name}`), text, { mode: 0o600 });
    return `../${id}-${name}`;
  };
  const certificate = { chain: write('server.pem', pki.server.certPem), key: write('server.key', pki.server.keyPem) };
  const clientCa = write('ca.pem', pki.ca.certPem);
  write('client.pem', pki.client.certPem + pki.client.keyPem);
  const tenant = {
    tenant: id,
    serverNames: [pki.serverName],
    certificate,
    clientCa,
    trustDomain: pki.trustDomain,
    accept: ['certificate'],
    roles: [{ name: 'predict', methods: ['ModelInfer'], models: ['digits'] }],
    bindings: [{ role: 'predict', certificates: ['*'] }],
    upstream: { address: `http://127.0.0.1:${backendPort}` },
  };
  writeFileSync(join(directory, 'tenants', `${id}.yaml`), stringify(tenant));
  const clientPem = join(directory, `${id}-client.pem`);
  return { target: { port, tls: true, serverName: pki.serverName, clientPem }, caPem: pki.ca.certPem };
}

async function measure(stage: Stage, seconds: number): Promise<readonly Omit<AttackRow, 'ratio'>[]> {
  const program = (name: string): string => join(import.meta.dirname, name);
  const caller = await OrderedProcess.start<CallOrder, Felt>(program('neighbour-caller.ts'), 0);
  const attacker = await OrderedProcess.start<AttackOrder, Struck>(program('neighbour-attacker.ts'), 19);
  const call = (forSeconds: number): Promise<Felt> =>
    caller.perform({
      target: stage.neighbour,
      callsPerSecond: CALLS_PER_SECOND,
      connections: CONNECTIONS,
      seconds: forSeconds,
    });
  const strike = (attack: string): Promise<Struck> =>
    attacker.perform({ attack, target: stage.attacker, caPem: stage.caPem, seconds, pauseMs: PAUSE_MS });
  try {
    // Everybody's JIT.
    await Promise.all([call(4), strike('rapid reset')]);
    const rows: Omit<AttackRow, 'ratio'>[] = [];
    for (const attack of BENCH_ATTACKS.keys()) {
      if (!attack.includes(options.only)) continue;
      await sleep(200);
      const quiet = await call(QUIET_SECONDS);
      const [attacked, struck] = await Promise.all([call(seconds), strike(attack)]);
      rows.push({ attack, quiet, attacked, struck });
    }
    return rows;
  } finally {
    await caller.stop();
    await attacker.stop();
  }
}

function report({ quietP99Ms, othersShare, rows }: NeighbourResult): void {
  const ms = (value: number): string => value.toFixed(2).padStart(7);
  say(
    `quiet p99 ${quietP99Ms.toFixed(2)} ms (median of ${rows.length} quiet times); others used ${(othersShare * 100).toFixed(0)} % of the CPU\n`,
  );
  say(`${'attack'.padEnd(66)} quiet p99  attacked p99   ratio  failed  how the attacker ended`);
  for (const { attack, quiet, attacked, ratio, struck } of rows) {
    const ends = Object.entries(struck.ends).map(([how, times]) => `${times} × ${how}`);
    const after = struck.endedAfterMs === undefined ? '' : `, after ${struck.endedAfterMs.toFixed(0)} ms`;
    const mark = ratio > GOAL_RATIO ? '!' : ' ';
    say(
      `${attack.padEnd(66)}   ${ms(quiet.p99Ms)}       ${ms(attacked.p99Ms)} ${ratio.toFixed(2).padStart(6)}${mark} ${String(attacked.failed).padStart(6)}  ${ends.join(', ')}${after}`,
    );
  }
}

async function main(): Promise<void> {
  const on = machine();
  const startedAt = new Date().toISOString();
  const disturbance = new Disturbance();
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-neighbour-'));
  let measured: readonly Omit<AttackRow, 'ratio'>[];
  try {
    const stage = await prepare(directory);
    try {
      measured = await measure(stage, Number(options.seconds));
    } finally {
      await stage.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const quietP99Ms = median(measured.map(({ quiet }) => quiet.p99Ms));
  const rows = measured.map((row) => ({ ...row, ratio: row.attacked.p99Ms / quietP99Ms }));
  const othersShare = disturbance.share();
  const result = { startedAt, machine: on, othersShare, callsPerSecond: CALLS_PER_SECOND, quietP99Ms, rows };
  report(result);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
}

await main();
