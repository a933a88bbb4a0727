/**
 * `npm run bench`: the sidecar beside HAProxy, in one run, on loopback: CPU per call, as ratios.
 *
 * The subject has the first core, load and backend the second. Each subject is checked for right answers first, warmed up, and
 * then measured in rounds that are interleaved, so that a slow minute of the machine hits everyone. CPU is user and system time
 * of the subject's whole process, telemetry and audit included, over the calls that were answered.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { prepareGround } from './ground.ts';
import { type Axis, cpuSeconds, LOAD_CORE, type LoadTarget, load, residentBytes } from './load.ts';
import { type Running, SUBJECTS, type Subject } from './subjects.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const AXES: readonly Axis[] = [
  { name: '10x50', connections: 10, streams: 50 },
  { name: '10x1', connections: 10, streams: 1 },
  { name: '1x1', connections: 1, streams: 1 },
];

interface Row {
  readonly subject: string;
  readonly features: string;
  readonly axis: string;
  readonly metric: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

const plan = options.smoke
  ? { rounds: 1, seconds: 1, warmUpSeconds: 1, axes: AXES.slice(0, 2) }
  : options.quick
    ? { rounds: 3, seconds: 3, warmUpSeconds: 2, axes: AXES }
    : { rounds: 7, seconds: 4, warmUpSeconds: 3, axes: AXES };

if (options.help) {
  process.stdout.write(`usage: npm run bench -- [--quick | --smoke] [--json FILE]

  --quick        three rounds of three seconds: under five minutes
  --smoke        one round of one second: does everything still run?
  --json FILE    write the rows as JSON

Needs haproxy and h2load (test/e2e/install brings them). Two cores: one for the subject, one for load and backend.
`);
  process.exit(0);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
};

async function measure(
  running: Running,
  target: LoadTarget,
  axis: Axis,
  seconds: number,
): Promise<{ cpu: number; rate: number }> {
  const before = cpuSeconds(running.pid);
  const { calls } = await load(target, axis, seconds);
  // Telemetry of the last calls is delivered a little later; its cost belongs to them.
  await new Promise((resolve) => setTimeout(resolve, 400));
  return { cpu: ((cpuSeconds(running.pid) - before) * 1e6) / calls, rate: calls / seconds };
}

const rowName = (subject: Subject): string => `${subject.name} ${subject.features}`;

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
  const started: { stop(): Promise<unknown> }[] = [];
  try {
    const [backendPort, sinkPort] = await freePorts(2);
    if (backendPort === undefined || sinkPort === undefined) throw new Error('no free ports');
    const ground = { directory, backendPort, sinkPort, serverName: 'acme.models.test' };
    const { targetOf } = await prepareGround(ground);
    const here = fileURLToPath(new URL('.', import.meta.url));
    for (const [name, file, port] of [
      ['the backend', 'backend.ts', backendPort],
      ['the OTLP sink', 'sink.ts', sinkPort],
    ] as const) {
      const args = ['-c', LOAD_CORE, process.execPath, join(here, file), String(port)];
      started.push(await Child.spawn(name, { command: 'taskset', args }));
    }
    await new Promise((resolve) => setTimeout(resolve, 700));
    const running = new Map<Subject, Running>();
    for (const subject of SUBJECTS) {
      const one = await subject.start(ground);
      started.push(one);
      running.set(subject, one);
      await load(targetOf(one.port), { name: 'check', connections: 1, streams: 1 }, 1);
      say(
        `${rowName(subject).padEnd(22)} answers on port ${one.port}, ${Math.round(residentBytes(one.pid) / 1e6)} MB resident`,
      );
    }
    const rows: Row[] = [];
    for (const axis of plan.axes) rows.push(...(await compare(axis, running, targetOf)));
    if (options.json !== undefined) {
      writeFileSync(options.json, `${JSON.stringify({ rows }, null, 2)}\n`);
      say(`\nwritten: ${options.json}`);
    }
  } finally {
    for (const one of started.toReversed()) await one.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function compare(
  axis: Axis,
  running: ReadonlyMap<Subject, Running>,
  targetOf: (port: number) => LoadTarget,
): Promise<readonly Row[]> {
  const cpu = new Map<Subject, number[]>();
  const rate = new Map<Subject, number[]>();
  for (const [, one] of running) await load(targetOf(one.port), axis, plan.warmUpSeconds);
  for (let round = 0; round < plan.rounds; round++) {
    for (const [subject, one] of running) {
      const { cpu: micros, rate: perSecond } = await measure(one, targetOf(one.port), axis, plan.seconds);
      cpu.set(subject, [...(cpu.get(subject) ?? []), micros]);
      rate.set(subject, [...(rate.get(subject) ?? []), perSecond]);
    }
  }
  say(
    `\n${axis.name}: ${axis.connections} connections × ${axis.streams} streams, ${plan.rounds} rounds of ${plan.seconds} s`,
  );
  say('  subject                 CPU µs per call (min…max)     calls/s    × HAProxy');
  const base = median(cpu.get(SUBJECTS[0] as Subject) ?? []);
  const rows: Row[] = [];
  for (const subject of SUBJECTS) {
    const values = cpu.get(subject) ?? [];
    const rates = rate.get(subject) ?? [];
    const row = { subject: subject.name, features: subject.features, axis: axis.name };
    rows.push(
      {
        ...row,
        metric: 'cpu_per_call',
        unit: 'us',
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
      },
      {
        ...row,
        metric: 'calls_per_second',
        unit: '1/s',
        median: median(rates),
        min: Math.min(...rates),
        max: Math.max(...rates),
      },
    );
    const spread = `${Math.min(...values).toFixed(1)}…${Math.max(...values).toFixed(1)}`;
    say(
      `  ${rowName(subject).padEnd(22)} ${median(values).toFixed(1).padStart(8)}  (${spread})`.padEnd(52) +
        `${Math.round(median(rates)).toString().padStart(10)}${(median(values) / base).toFixed(2).padStart(12)}`,
    );
  }
  return rows;
}

await main();
