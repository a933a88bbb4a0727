/**
 * What a neighbour feels of an attack: `node test/bench/neighbour.ts [--json FILE] [--only TEXT] [--rounds N]`
 *
 * The sidecar has one core. On the other are the model server, a client of one tenant that calls at a steady rate, and an attacker that
 * is another tenant and comes back whenever it is sent away, in processes of their own: what the attacker's work costs is not in the
 * numbers, as it is in `test/conformance/attacks-*`. Quiet times and attacks take turns in short rounds, and the median of the rounds'
 * p99 counts: what somebody else does to the machine for a second is in one of them.
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
import { cpuSeconds } from './process-cost.ts';
import { median } from './row.ts';
import { pinned, type Running } from './subjects/subject.ts';

/** Of the neighbour: enough to have a p99 in seconds, far from what the sidecar can take. */
const CALLS_PER_SECOND = 500;
const CONNECTIONS = 4;
const QUIET_SECONDS = 0.5;
/** Longer than who was thrown out of the last one has to wait (`limits.coolOff`): each attack is made. */
const ATTACK_SECONDS = 1.2;
const PAUSE_MS = 100;
/** What one call may take longer while another tenant attacks. */
const GOAL_RATIO = 2;

interface AttackRow {
  readonly attack: string;
  /** Medians of the rounds; failures together. */
  readonly quietP99Ms: number;
  readonly attackedP99Ms: number;
  /** Of the p99 under attack to the median p99 of all quiet times. */
  readonly ratio: number;
  readonly failed: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly endedAfterMs: number | undefined;
  /** What one attack took of the sidecar's core until it was ended: no neighbour waits longer for it. */
  readonly cpuMsPerAttack: number;
  /** How late the neighbour was to send: above some milliseconds the machine is busy with something else. */
  readonly sentLateP99Ms: number;
}

interface Round {
  readonly attack: string;
  readonly quiet: Felt;
  readonly attacked: Felt;
  readonly struck: Struck;
  /** CPU of the sidecar, over the quiet time and over the attack. */
  readonly quietCpuMs: number;
  readonly attackedCpuMs: number;
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
    rounds: { type: 'string', default: '4' },
  },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);

interface Stage {
  readonly neighbour: CallTarget;
  readonly attacker: CallTarget;
  readonly caPem: string;
  /** The sidecar's processes. */
  readonly pids: readonly number[];
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
  const { pids } = sidecar;
  return { neighbour: neighbour.target, attacker: attacker.target, caPem: attacker.caPem, pids, stop };
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

async function measure(stage: Stage, rounds: number): Promise<readonly Round[]> {
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
    attacker.perform({
      attack,
      target: stage.attacker,
      caPem: stage.caPem,
      seconds: ATTACK_SECONDS,
      pauseMs: PAUSE_MS,
    });
  try {
    // Everybody's JIT.
    await Promise.all([call(4), strike('rapid reset')]);
    const measured: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const attack of BENCH_ATTACKS.keys()) {
        if (!attack.includes(options.only)) continue;
        const began = cpuSeconds(stage.pids);
        const quiet = await call(QUIET_SECONDS);
        const between = cpuSeconds(stage.pids);
        const [attacked, struck] = await Promise.all([call(ATTACK_SECONDS), strike(attack)]);
        // What the attack has left to do is not the next quiet time's.
        await sleep(100);
        const [quietCpuMs, attackedCpuMs] = [between - began, cpuSeconds(stage.pids) - between].map((s) => s * 1_000);
        measured.push({
          attack,
          quiet,
          attacked,
          struck,
          quietCpuMs: quietCpuMs ?? 0,
          attackedCpuMs: attackedCpuMs ?? 0,
        });
      }
    }
    return measured;
  } finally {
    await caller.stop();
    await attacker.stop();
  }
}

/** Beyond what the neighbour's own calls take, from all quiet times together: one is too short for the kernel's clock. */
function cpuMsPerAttack(rounds: readonly Round[], all: readonly Round[]): number {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const quietMsPerCall = sum(all.map(({ quietCpuMs }) => quietCpuMs)) / sum(all.map(({ quiet }) => quiet.calls));
  const own = quietMsPerCall * sum(rounds.map(({ attacked }) => attacked.calls));
  const times = sum(rounds.map(({ struck }) => struck.times));
  return Math.max(0, (sum(rounds.map(({ attackedCpuMs }) => attackedCpuMs)) - own) / times);
}

function rowsOf(measured: readonly Round[], quietP99Ms: number): readonly AttackRow[] {
  const attacks = [...new Set(measured.map(({ attack }) => attack))];
  return attacks.map((attack) => {
    const rounds = measured.filter((round) => round.attack === attack);
    const attackedP99Ms = median(rounds.map(({ attacked }) => attacked.p99Ms));
    const ends: Record<string, number> = {};
    for (const { struck } of rounds) {
      for (const [how, times] of Object.entries(struck.ends)) ends[how] = (ends[how] ?? 0) + times;
    }
    const times = rounds.flatMap(({ struck }) => struck.endedAfterMs ?? []);
    return {
      attack,
      quietP99Ms: median(rounds.map(({ quiet }) => quiet.p99Ms)),
      attackedP99Ms,
      ratio: attackedP99Ms / quietP99Ms,
      failed: rounds.reduce((sum, { attacked }) => sum + attacked.failed, 0),
      ends,
      endedAfterMs: times.length === 0 ? undefined : median(times),
      cpuMsPerAttack: cpuMsPerAttack(rounds, measured),
      sentLateP99Ms: median(rounds.map(({ attacked }) => attacked.sentLateP99Ms)),
    };
  });
}

function report({ quietP99Ms, othersShare, rows }: NeighbourResult): void {
  const ms = (value: number): string => value.toFixed(2).padStart(8);
  say(`quiet p99 ${quietP99Ms.toFixed(2)} ms; others used ${(othersShare * 100).toFixed(0)} % of the CPU\n`);
  say(`${'attack'.padEnd(76)}   quiet  attacked   ratio  failed  CPU ms each  how the attacker ended`);
  for (const row of rows) {
    const { attack, quietP99Ms: quiet, attackedP99Ms, ratio, failed, ends, endedAfterMs } = row;
    const how = Object.entries(ends).map(([end, times]) => `${times} × ${end}`);
    const after = endedAfterMs === undefined ? '' : `, after ${endedAfterMs.toFixed(0)} ms`;
    const mark = ratio > GOAL_RATIO ? '!' : ' ';
    say(
      `${attack.padEnd(76)}${ms(quiet)}  ${ms(attackedP99Ms)}  ${ratio.toFixed(2).padStart(6)}${mark}` +
        ` ${String(failed).padStart(6)}  ${row.cpuMsPerAttack.toFixed(1).padStart(11)}  ${how.join(', ')}${after}`,
    );
  }
}

async function main(): Promise<void> {
  const on = machine();
  const startedAt = new Date().toISOString();
  const disturbance = new Disturbance();
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-neighbour-'));
  let measured: readonly Round[];
  try {
    const stage = await prepare(directory);
    try {
      measured = await measure(stage, Number(options.rounds));
    } finally {
      await stage.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const quietP99Ms = median(measured.map(({ quiet }) => quiet.p99Ms));
  const rows = rowsOf(measured, quietP99Ms);
  const othersShare = disturbance.share();
  const result = { startedAt, machine: on, othersShare, callsPerSecond: CALLS_PER_SECOND, quietP99Ms, rows };
  report(result);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
}

await main();
