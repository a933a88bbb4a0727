/**
 * `bulkhead check`: everything that is wrong with a configuration, before it is run.
 */
import type { Command } from 'commander';
import type { Finding } from '../config/finding.ts';
import type { Generation } from '../config/generation.ts';
import { ConfigurationLoader } from '../config/load.ts';
import { displayName } from '../config/workload-material.ts';
import { plural, printFindings } from './findings.ts';
import type { CliIo } from './io.ts';

interface CheckOptions {
  readonly config: string;
  readonly json?: true;
  readonly strict?: true;
}

/** Adds `check` to the program. */
export function registerCheck(program: Command, io: CliIo): void {
  program
    .command('check')
    .description('check the configuration and everything it names, and print every finding')
    .requiredOption('-c, --config <file>', 'main configuration file; tenants are read from the directory it names')
    .option('--strict', 'exit with code 1 for warnings too')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Nothing is started, and nothing is asked of the network or of the SPIFFE Workload API: what would come from there is listed as
not checked. Every finding has its file, line, column and path, and says
what would be right. OpenTelemetry's OTEL_* variables are read as \`bulkhead run\` would read them here.

A warning is about something that can be run and can hardly be meant: a role that nobody has or that another one makes needless,
a key that never expires, a certificate near its end.

Exit code: 0 when it can be run (there may be warnings), 1 when it cannot; with --strict, 1 also when there are warnings.

Examples:
  $ bulkhead check --config /etc/bulkhead/bulkhead.yaml
  $ bulkhead check --config bulkhead.yaml --strict
  $ bulkhead check --config bulkhead.yaml --json | jq '.findings[] | select(.severity == "error")'`,
    )
    .action((options: CheckOptions) => check(options, io));
}

async function check(options: CheckOptions, io: CliIo): Promise<void> {
  const loader = new ConfigurationLoader();
  const loaded = await loader.load(options.config, undefined);
  const findings = loaded.ok ? loader.warnings : loaded.error;
  if (!loaded.ok || (options.strict === true && findings.length > 0)) io.exit(1);
  if (options.json === true) {
    const found = report(loaded.ok ? loaded.value : undefined, findings, loader.workloadNames);
    io.out(`${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  if (findings.length > 0) printFindings(findings, io);
  if (loaded.ok) io.out(success(options.config, loaded.value, loader.workloadNames));
}

/** `unchecked`: names of what is to come from the SPIFFE Workload API, which is not asked here. */
function report(
  generation: Generation | undefined,
  findings: readonly Finding[],
  unchecked: ReadonlySet<string>,
): object {
  if (generation === undefined) return { ok: false, findings };
  return {
    ok: true,
    findings,
    ...(unchecked.size === 0 ? {} : { unchecked: [...unchecked].map(displayName).sort() }),
    digest: generation.digest,
    tenants: generation.tenants.map(({ id, file, serverNames }) => ({ id, file, serverNames })),
    egress: generation.egress.map(({ listen, tenant, upstream }) => ({ listen, tenant, upstream: upstream.display })),
  };
}

function success(mainFile: string, generation: Generation, unchecked: ReadonlySet<string>): string {
  const { listener, admin, workers, tenants, egress, telemetry } = generation;
  const named = tenants.slice(0, 5).map((tenant) => tenant.id);
  const more = tenants.length > named.length ? ', …' : '';
  const otlp = telemetry.otlp;
  const ingress =
    listener === undefined
      ? []
      : [
          `  tenants   ${tenants.length}${tenants.length === 0 ? '' : ` (${named.join(', ')}${more})`}`,
          `  listens   ${socket(listener)}, ${listener.minTlsVersion} or later, ${plural(workers, 'worker')}`,
        ];
  return [
    `${mainFile} is good.`,
    ...ingress,
    ...egress.map(({ listen, tenant, upstream }) => `  egress    ${listen}, as ${tenant} to ${upstream.display}`),
    ...spiffe(generation, unchecked),
    `  admin     ${socket(admin)}`,
    `  audit     ${generation.audit.directory}`,
    `  exports   ${otlp === undefined ? 'nothing (no OTLP endpoint)' : `${otlp.endpoint} (${otlp.protocol})`}`,
    `Next: bulkhead run --config ${mainFile}`,
    '',
  ].join('\n');
}

function spiffe({ workloadApi }: Generation, unchecked: ReadonlySet<string>): readonly string[] {
  if (workloadApi === undefined || unchecked.size === 0) return [];
  const names = [...unchecked].map(displayName).sort();
  const more = names.length > 3 ? `, … (${names.length})` : '';
  return [`  spiffe    ${workloadApi.display}, not asked here, so not checked: ${names.slice(0, 3).join(', ')}${more}`];
}

function socket({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
