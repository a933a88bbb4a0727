/**
 * One soak, from its first process to its report.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Events } from './events.ts';
import { Ground } from './ground.ts';
import { type Check, judgeAtRest, judgeRecords } from './judge.ts';
import { Ledger } from './ledger.ts';
import { Noise } from './letter.ts';
import { Load } from './load.ts';
import { ProcessWatch } from './process-watch.ts';
import { SeededRandom } from './random.ts';
import { kindRows, processRow, type SoakReport } from './report.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly say: (text: string) => void;
}

const RELOAD_EVERY_MS = 10_000;
/** A short run has every event in it, too. */
const SHORT_RELOAD_EVERY_MS = 6_000;
const SHORT_MS = 120_000;
const PROGRESS_EVERY_MS = 10_000;
const SAMPLE_EVERY_MS = 2_000;
/** Memory and descriptors are judged from then on. */
const SETTLED_MS = 120_000;
/** Judged in runs long enough for a slope to be one. */
const SLOPE_FROM_MS = 480_000;
const MAX_RESIDENT_SLOPE_MIB = 3;
const MAX_DESCRIPTOR_SLOPE = 3;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { minutes, seed, say } = options;
  const totalMs = minutes * 60_000;
  say(`seed ${seed}, ${minutes} minutes`);
  const ground = await Ground.start(seed);
  try {
    const ledger = new Ledger(seed);
    const random = new SeededRandom(seed);
    const load = new Load(ground, ledger, new Noise(seed), random.fork('load'));
    const watches = [
      new ProcessWatch('ingress', ground.sidecar.child),
      new ProcessWatch('egress', ground.egress.child),
    ];
    for (const watch of watches) watch.samples.push(watch.now());
    for (const watch of watches) watch.start(SAMPLE_EVERY_MS);
    const reloadEveryMs = totalMs <= SHORT_MS ? SHORT_RELOAD_EVERY_MS : RELOAD_EVERY_MS;
    const events = new Events({ ground, ledger, load, totalMs, reloadEveryMs, say });
    const from = Date.now();
    const progress = setInterval(() => say(progressText(ledger, load, watches, from)), PROGRESS_EVERY_MS);
    load.start();
    try {
      await events.run();
      await load.stop();
    } finally {
      clearInterval(progress);
      for (const watch of watches) watch.stop();
    }
    say(progressText(ledger, load, watches, from));
    const settledMs = Math.min(SETTLED_MS, totalMs / 3);
    const processes = watches.map((watch) => processRow(watch, settledMs));
    const checks: Check[] = [...(await judgeAtRest(ground, watches))];
    if (totalMs >= SLOPE_FROM_MS) checks.push(...flat(processes));
    if (ledger.running > 0) ledger.violate(`${ledger.running} calls have no end`);
    const judged = await judgeRecords(ground, ledger, events);
    checks.push(...judged.checks);
    const ok = ledger.violationCount === 0 && checks.every((check) => check.ok);
    return {
      seed,
      minutes,
      ok,
      kinds: kindRows(ledger),
      events: events.happened,
      checks,
      counts: judged.counts,
      processes,
      violationCount: ledger.violationCount,
      violations: ledger.violations,
    };
  } finally {
    await ground.stop();
    await sleep(0);
  }
}

function flat(processes: SoakReport['processes']): readonly Check[] {
  return processes.flatMap(({ name, residentMibPerMinute = 0, descriptorsPerMinute = 0 }) => [
    {
      name: `${name}: memory is flat`,
      ok: residentMibPerMinute <= MAX_RESIDENT_SLOPE_MIB,
      detail: `${residentMibPerMinute} MiB a minute`,
    },
    {
      name: `${name}: descriptors are flat`,
      ok: descriptorsPerMinute <= MAX_DESCRIPTOR_SLOPE,
      detail: `${descriptorsPerMinute} a minute`,
    },
  ]);
}

function progressText(ledger: Ledger, load: Load, watches: readonly ProcessWatch[], from: number): string {
  const seconds = Math.round((Date.now() - from) / 1000);
  const { calls, running, violationCount } = ledger;
  const memory = watches.map((watch) => {
    const { residentBytes, descriptors } = watch.samples.at(-1) ?? watch.now();
    return `${watch.name} ${Math.round(residentBytes / 1024 / 1024)} MiB ${descriptors} fds`;
  });
  return (
    `${String(seconds).padStart(4)} s  ${calls.length} calls (${Math.round(calls.length / Math.max(1, seconds))} a second), ` +
    `${running} running, ${load.openLines} lines of ${load.opened}, ${memory.join(', ')}, ${violationCount} violations`
  );
}
