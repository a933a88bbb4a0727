/**
 * `bulkhead run`: the sidecar itself.
 */
import type { Command } from 'commander';
import { printFindings } from './findings.ts';
import type { CliIo } from './io.ts';
import { packageVersion } from './version.ts';

/** Adds `run` to the program. */
export function registerRun(program: Command, io: CliIo): void {
  program
    .command('run')
    .description('run the sidecar until SIGTERM or SIGINT, which drain it; SIGHUP re-reads the configuration')
    .requiredOption('-c, --config <file>', 'main configuration file; tenants are read from the directory it names')
    .addHelpText(
      'after',
      `
What it prints: JSON log lines on standard error. The first one after a successful start is
  {"msg":"serving","port":…,"adminPort":…,"generation":1,…}
from when on calls are served, and GET /readyz on the admin port answers 200.

Example:
  $ bulkhead check --config /etc/bulkhead/bulkhead.yaml && bulkhead run --config /etc/bulkhead/bulkhead.yaml`,
    )
    .action(async (options: { readonly config: string }) => {
      await run(options.config, io);
    });
}

async function run(mainFile: string, io: CliIo): Promise<void> {
  // Loaded only here: the other commands need none of it.
  const { Supervisor } = await import('../runtime/supervisor.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const log = createLogger({ level: 'info' });
  const created = await Supervisor.create({ mainFile, version: packageVersion(), log });
  if (!created.ok) {
    printFindings(created.error, io);
    io.err('\nThe sidecar has not started. Mend the above, and see `bulkhead check --config FILE`.\n');
    io.exit(1);
    return;
  }
  const supervisor = created.value;
  log.level = supervisor.generation.log.level;
  const stopped = new Promise<void>((resolve, reject) => {
    const stop = (signal: NodeJS.Signals): void => {
      supervisor.stop(signal).then(resolve, reject);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
  process.on('SIGHUP', () => void supervisor.reload('SIGHUP'));
  const { port, adminPort } = await supervisor.start();
  const { listener, admin, workers, number, tenants, egress } = supervisor.generation;
  log.info(
    {
      address: listener?.address,
      port,
      adminAddress: admin.address,
      adminPort,
      workers,
      generation: number,
      tenants: tenants.length,
      egress: egress.length === 0 ? undefined : egress.map(({ listen }) => listen),
    },
    'serving',
  );
  await stopped;
  io.exit(0);
}
