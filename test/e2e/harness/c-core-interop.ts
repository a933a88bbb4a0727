/**
 * C-core, client and server: gRPC's interop suite as `peers/c_core_interop.rb` runs it, and the checks of `peers/c_core_python.py`.
 */
import { Child, run } from './child.ts';
import { peerFile, peerSource } from './peer-file.ts';
import type { TenantAccess } from './sidecar.ts';

/** Where the cases are run, and with which client certificate, if not in clear text. */
export interface CCoreTarget {
  readonly port: number;
  readonly access?: TenantAccess;
}

const PROGRAMS = {
  ruby: { command: '/usr/bin/ruby', args: ['-W0', peerSource('c_core_interop.rb')] },
  python: { command: peerFile('clients/bin/python'), args: [peerSource('c_core_python.py')] },
} as const;
const LISTENING = /^port (\d+)$/m;

export async function startCCoreServer(
  of: keyof typeof PROGRAMS,
): Promise<{ readonly port: number; readonly child: Child }> {
  const child = await Child.spawn(`the C-core server in ${of}`, commandOf(of, ['server']));
  await child.until('listening', () => LISTENING.test(child.output));
  return { port: Number(LISTENING.exec(child.output)?.[1]), child };
}

/** The names of the interop client's cases. */
export async function cCoreCases(): Promise<readonly string[]> {
  const { output } = await run('the C-core interop client', commandOf('ruby', ['cases']), 20_000);
  return output.trim().split('\n');
}

/** Runs interop cases one after another; gives `PASS`, `FAIL …` or, for one that was not reached, what the client said instead. */
export async function runCCoreCases(target: CCoreTarget, cases: readonly string[]): Promise<Outcomes> {
  const { output } = await run(
    'the C-core interop client',
    commandOf('ruby', ['client', `${target.port}`, ...cases], target),
    90_000,
  );
  return Object.fromEntries(cases.map((name) => [name, outcomesIn(output)[name] ?? `not reached: ${output}`]));
}

/** Runs the checks of grpcio; gives `ok`, or why not. */
export async function runPythonChecks(target: CCoreTarget): Promise<Outcomes> {
  const { code, output } = await run('grpcio', commandOf('python', ['client', `${target.port}`], target), 90_000);
  return code === 0 ? outcomesIn(output) : { ...outcomesIn(output), exit: output };
}

type Outcomes = Readonly<Record<string, string>>;

/** Lines of a name and its outcome; whatever else a client says has another form. */
function outcomesIn(output: string): Outcomes {
  return Object.fromEntries(
    [...output.matchAll(/^(\w+) (.+)$/gm)].map(([, name = '', outcome = '']) => [name, outcome]),
  );
}

function commandOf(program: keyof typeof PROGRAMS, args: readonly string[], { access }: Partial<CCoreTarget> = {}) {
  const { command, args: first } = PROGRAMS[program];
  return { command, args: [...first, ...args], ...(access === undefined ? {} : { env: environmentOf(access) }) };
}

function environmentOf({ files, pki }: TenantAccess): Readonly<Record<string, string>> {
  return { C_CORE_CA: files.ca, C_CORE_CERT: files.cert, C_CORE_KEY: files.key, C_CORE_SERVER_NAME: pki.serverName };
}
