/**
 * `npm run demo`: one real inference path through everything that Bulkhead does, in a terminal.
 *
 *     npm run demo                 plays it, checks it, cleans up
 *     npm run demo -- --keep       stays up afterwards, with commands to paste
 */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { displayPath, pasteCommands } from './paste-commands.ts';
import { makeInk } from './render/ink.ts';
import { runSteps } from './runner.ts';
import { SCENARIO } from './scenario.ts';
import { endAll, type Started, setStage } from './stage.ts';

const USAGE = `usage: npm run demo -- [--keep] [--directory DIR]

  --keep            stay up when all is shown, and print commands to paste
  --directory DIR   where certificates, configuration, audit log and logs go; made afresh (default: .demo)

OTEL_EXPORTER_OTLP_ENDPOINT: the same traces and audit logs go to that collector as well.
`;

const ink = makeInk(process.stdout.isTTY && process.env['NO_COLOR'] === undefined);
const started: Started = { children: [], closers: [] };

// Whatever ends this process, its children end with it.
process.once('exit', () => {
  for (const child of started.children) child.kill();
});
/** From now on it is `main` that ends everything when it is interrupted. */
let keeping = false;

// A reader that has gone away (`npm run demo | head`) ends the demo, and with it its children.
process.stdout.on('error', () => process.exit(1));

const interrupted = new Promise<NodeJS.Signals>((resolve_) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve_);
});

process.exitCode = await Promise.race([
  main(),
  interrupted.then(async (signal) => {
    if (keeping) return new Promise<number>(() => {});
    await endAll(started);
    return signal === 'SIGINT' ? 130 : 143;
  }),
]);
process.exit();

async function main(): Promise<number> {
  const options = readArguments();
  if (typeof options === 'number') return options;
  const began = performance.now();
  print(`${ink.bold('Bulkhead')}  ${ink.dim('one model server, two tenants who must not notice each other')}`);
  try {
    const stage = await setStage(options.directory, started, process.env);
    if (stage.forwarder !== undefined) {
      const { endpoint, protocol } = stage.forwarder;
      print(
        ink.dim(`traces and audit logs come here for the pictures, and go on to ${endpoint} (${protocol}) as well`),
      );
    }
    const failures = await runSteps(SCENARIO, stage, ink, print);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    print('');
    if (failures.length > 0) {
      print(ink.bad(`${failures.length} of ${SCENARIO.length} steps failed: ${failures.join('; ')}`));
      print(`Logs: ${stage.workplace.path('logs')}`);
    } else {
      print(ink.good(`All ${SCENARIO.length} steps did what they claim, in ${seconds} s.`));
    }
    if (options.keep) {
      for (const line of pasteCommands(stage, ink)) print(line);
      keeping = true;
      await interrupted;
      print('');
    }
    const code = await stage.close();
    if (code !== 0) print(ink.bad(`the sidecar ended with exit code ${code}; its log: ${stage.sidecar.logFile}`));
    const passed = failures.length === 0 && code === 0;
    if (passed && !options.keep) for (const line of whatNext(stage.workplace.directory)) print(line);
    return passed ? 0 : 1;
  } catch (cause) {
    print(ink.bad(cause instanceof Error ? cause.message : String(cause)));
    await endAll(started);
    return 1;
  }
}

function whatNext(directory: string): string[] {
  const ways = [
    ['npm run demo -- --keep', 'the same, left running, with grpcurl and buf commands to paste'],
    [join(displayPath(directory), 'tenants', 'acme.yaml'), 'what a tenant’s file looks like'],
    ['src/manual/architecture.md', 'a call’s way through the source'],
  ];
  return ['', ink.bold('What next'), ...ways.map(([what = '', why = '']) => `  ${ink.accent(what.padEnd(28))} ${why}`)];
}

/** The options; or the exit code, when there is nothing to do but to end. */
function readArguments(): { readonly keep: boolean; readonly directory: string } | number {
  try {
    const { values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        directory: { type: 'string', default: fileURLToPath(new URL('../../.demo', import.meta.url)) },
        help: { type: 'boolean', default: false },
      },
    });
    if (!values.help) return { keep: values.keep, directory: resolve(values.directory) };
    print(USAGE.trimEnd());
    return 0;
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
  }
  return 2;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
