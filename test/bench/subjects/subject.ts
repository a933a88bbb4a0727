/**
 * What is compared: a proxy on the first core, in front of the same backend as all others, and ended by its pid.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, Child } from '../../e2e/harness/child.ts';
import { SUBJECT_CORE } from '../load.ts';
import { processTree } from '../process-cost.ts';
import type { Features, SubjectName } from '../row.ts';

/** What all subjects stand on. */
export interface Ground {
  readonly directory: string;
  readonly backendPort: number;
  readonly serverName: string;
  /** OTLP sinks that answer and forget. */
  readonly sinkPort: number;
  readonly sinkGrpcPort: number;
}

export interface Running {
  readonly port: number;
  /** Its process and those that it has started; none when there is no proxy. */
  readonly pids: readonly number[];
  /** Where it serves its own state, if it does. */
  readonly adminPort?: number;
  stop(): Promise<unknown>;
}

export interface Subject {
  readonly name: SubjectName;
  readonly features: Features;
  /** Told apart from others of the same name and features. */
  readonly variant?: string;
  /** False: it is called in cleartext. */
  readonly tls: boolean;
  /** It runs on a JIT, and is warmed up until that is done. */
  readonly warmsUp: boolean;
  start(ground: Ground): Promise<Running>;
}

export const subjectName = ({ name, features, variant }: Subject): string =>
  name === 'direct' ? 'direct' : `${name} ${features}${variant === undefined ? '' : `, ${variant}`}`;

export interface Command {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly port: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the subject's core. */
  readonly cores?: string;
  readonly adminPort?: number;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

/** Starts a subject on its core, and waits until it listens. */
export async function pinned(command: Command): Promise<Running> {
  const { name, port, cwd, cores = SUBJECT_CORE, adminPort } = command;
  const child = await Child.spawn(name, {
    command: 'taskset',
    args: ['-c', cores, command.command, ...command.args],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: '', ...command.env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  try {
    await child.until(`listening on port ${port}`, () => accepts(port), START_TIMEOUT_MS);
  } catch (error) {
    await child.stop(STOP_TIMEOUT_MS);
    throw error;
  }
  // Workers that are forked after the port is bound.
  await sleep(50);
  return {
    port,
    // `taskset` has replaced itself by the command: the pid is the subject's own.
    pids: processTree(child.pid),
    ...(adminPort === undefined ? {} : { adminPort }),
    stop: () => child.stop(STOP_TIMEOUT_MS),
  };
}
