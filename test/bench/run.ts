/**
 * `npm run bench`: the sidecar beside HAProxy, nginx and Envoy in one run, on loopback. How it is measured, and how to read it:
 * README.md beside this file.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { compare } from './compare.ts';
import { judge, printVerdicts } from './goals.ts';
import { prepareGround } from './ground.ts';
import { Disturbance, machine, QUIET_LOAD, QUIET_SHARE } from './machine.ts';
import { NOISY_PLANS, noisyNeighbours } from './noisy.ts';
import { PLANS, type Plan } from './plan.ts';
import { type BenchResult, readResult, writeResult } from './result.ts';
import type { Row } from './row.ts';

const HELP = `usage: npm run bench -- [--quick | --smoke] [--json FILE] [--svg FILE] [--node-flags FLAGS]
       npm run bench -- --noisy [--quick | --smoke] [--json FILE]
       npm run bench -- --from FILE [--svg FILE]

  (nothing)           everything, with 10,000 tenants: about 20 minutes
  --quick             10x50, 10x1 and 1x1 of all subjects, three rounds of three seconds: under five minutes
  --smoke             every part once, as short as possible: does it still run and answer right?
  --noisy             instead: what one tenant's calls feel while another attacks in ten ways, beside Envoy; ten minutes, with --quick four
  --json FILE         write all rows, the machine and the verdicts
  --svg FILE          draw the chart
  --from FILE         measure nothing: judge and draw what an earlier run has written
  --node-flags FLAGS  flags for the Node that runs the sidecar and the relay, such as "--max-semi-space-size=32"

Needs what test/e2e/install brings (haproxy, nginx, envoy, h2load), and two cores: one for the subject, one for load and backend.
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    noisy: { type: 'boolean', default: false },
    json: { type: 'string' },
    svg: { type: 'string' },
    from: { type: 'string' },
    'node-flags': { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function measured(): Promise<BenchResult> {
  const plan = PLANS[options.smoke ? 'smoke' : options.quick ? 'quick' : 'full'];
  const on = machine();
  const startedAt = new Date().toISOString();
  if (plan.name !== 'smoke' && on.loadBefore > QUIET_LOAD) {
    say(`The machine is busy (load ${on.loadBefore}): what follows says as much of it as of the subjects.\n`);
  }
  const disturbance = new Disturbance();
  const rows = await measureOn(
    plan,
    options['node-flags'].split(' ').filter((flag) => flag !== ''),
  );
  const othersShare = disturbance.share();
  if (plan.name !== 'smoke' && othersShare > QUIET_SHARE) {
    say(
      `\nOthers used ${(othersShare * 100).toFixed(0)} % of the machine's CPU meanwhile: measure again when it is quiet.`,
    );
  }
  return {
    plan: plan.name,
    startedAt,
    machine: on,
    othersShare,
    rows,
    goals: plan.name === 'smoke' ? [] : judge(rows),
  };
}

async function measureOn(plan: Plan, nodeFlags: readonly string[]): Promise<readonly Row[]> {
  if (options.noisy) return noisyNeighbours(NOISY_PLANS[plan.name], say);
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
  try {
    const ground = await prepareGround(directory);
    try {
      return await compare(ground, plan, nodeFlags, say);
    } finally {
      await ground.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  if (options.help) return say(HELP);
  const result = options.from === undefined ? await measured() : readResult(options.from);
  const verdicts = options.from === undefined ? result.goals : judge(result.rows);
  printVerdicts(verdicts, say);
  if (options.json !== undefined) {
    writeResult(options.json, { ...result, goals: verdicts });
    say(`\nwritten: ${options.json}`);
  }
  if (options.svg !== undefined) {
    writeFileSync(options.svg, chart(result));
    say(`drawn: ${options.svg}`);
  }
}

await main();
