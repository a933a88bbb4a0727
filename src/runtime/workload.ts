/**
 * The SPIFFE Workload API in the running process: asked for what the configuration names, waited for when something is new, and told to
 * the log, the metrics and the admin port.
 */
import type { Logger } from 'pino';
import type { Finding } from '../config/finding.ts';
import type { WorkloadApiConfig } from '../config/generation.ts';
import { isBundleName, type WorkloadMaterial } from '../config/workload-material.ts';
import type { StreamKind, WorkloadApi, WorkloadApiOptions } from '../identity/workload-api.ts';
import type { UnusableBundle } from '../identity/workload-identities.ts';
import type { StreamState } from '../identity/workload-stream.ts';
import { err, ok, type Result } from '../kernel/result.ts';

export interface WorkloadEvents {
  /** What these names stand for is another now: the configuration that takes them is. */
  changed(names: ReadonlySet<string>): void;
  /** A message was refused as a whole, or authorities in it. */
  refused(kind: StreamKind): void;
}

/** Bundles that are logged one by one: an agent may have thousands that cannot be used. */
const MAX_LOGGED_BUNDLES = 20;

interface Followed {
  readonly config: WorkloadApiConfig;
  readonly api: WorkloadApi;
}

export class Workload implements WorkloadMaterial {
  readonly #log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly #options: WorkloadApiOptions;
  #events: WorkloadEvents | undefined;
  #followed: Followed | undefined;
  /** Of another endpoint, until the present one has answered. */
  #former: WorkloadApi | undefined;
  #names: ReadonlySet<string> = new Set();
  #closed = false;
  readonly #waiting = new Set<() => void>();
  /** What the log has of authorities that cannot be used. */
  #unusableTold = '';

  constructor(log: Pick<Logger, 'info' | 'warn' | 'error'>, options: WorkloadApiOptions = {}) {
    this.#log = log;
    this.#options = options;
  }

  /** Begins to tell. What came before was waited for. */
  listen(events: WorkloadEvents): void {
    this.#events = events;
  }

  read(name: string): Result<string, string> | undefined {
    return this.#followed?.api.identities.read(name) ?? this.#former?.identities.read(name);
  }

  /** Where it is, when it is followed. */
  get endpoint(): string | undefined {
    return this.#followed?.config.display;
  }

  get states(): ReadonlyMap<StreamKind, StreamState> {
    return this.#followed?.api.states ?? new Map<StreamKind, StreamState>();
  }

  /** When the certificate ends that a name stands for, in milliseconds since the epoch; undefined: there is none. */
  notAfterMs(name: string): number | undefined {
    return this.#followed?.api.identities.notAfterMs(name);
  }

  /** Names of what the configuration takes and the API does not give, now. */
  get missing(): readonly string[] {
    return [...this.#names].filter((name) => this.read(name)?.ok !== true);
  }

  /** Names of what the configuration takes. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /**
   * Follows what a configuration takes. When some of it has never been asked for, waits for the answer: until all of it is there, at
   * most for the configured time. Returns whether it has waited, so that there may be something new; or why the configuration
   * cannot come into force: the API has said nothing, or nothing that is of use.
   */
  async provide(config: WorkloadApiConfig | undefined, names: ReadonlySet<string>): Promise<Result<boolean, Problem>> {
    this.#names = new Set(names);
    if (config === undefined || names.size === 0) {
      this.#leave();
      return ok(false);
    }
    // On demand: gRPC's library takes 7 MB, and most sidecars follow no such API.
    const { WorkloadApi: Api } = await import('../identity/workload-api.ts');
    if (this.#closed) return ok(false);
    const api = this.#follow(config, Api);
    api.follow(this.#names);
    if ([...names].every((name) => api.identities.isKnown(name))) return ok(false);
    const isOver = (): boolean =>
      [...names].every((name) => api.identities.has(name)) ||
      [...api.states.values()].some(({ at }) => at === 'stopped');
    await this.#until(isOver, config.startTimeoutMs);
    this.#former?.close();
    this.#former = undefined;
    const unknown = [...names].filter((name) => !api.identities.isKnown(name));
    if (unknown.length > 0) return err(this.#silence(config, api, unknown));
    const svids = [...names].filter((name) => !isBundleName(name));
    const refusal = api.identities.read(svids[0] ?? '');
    if (svids.length > 0 && !svids.some((name) => api.identities.has(name)) && refusal?.ok === false)
      return err({ message: `${config.display}: ${refusal.error}`, fix: REGISTER });
    return ok(true);
  }

  /** Asks again now what has failed or stopped. */
  retry(): void {
    this.#followed?.api.retry();
  }

  close(): void {
    this.#closed = true;
    this.#leave();
  }

  #follow(config: WorkloadApiConfig, Api: typeof WorkloadApi): WorkloadApi {
    if (this.#followed?.config.display === config.display) return this.#followed.api;
    this.#former?.close();
    this.#former = this.#followed?.api;
    const api: WorkloadApi = new Api(
      config.target,
      {
        changed: (names) => {
          this.#wake();
          if (this.#followed?.api === api) this.#events?.changed(names);
        },
        state: (kind, state) => {
          this.#wake();
          this.#stateChanged(config, kind, state);
        },
        refused: (kind) => this.#events?.refused(kind),
        unusable: (bundles) => this.#unusable(config, bundles),
      },
      this.#options,
    );
    this.#followed = { config, api };
    return api;
  }

  #leave(): void {
    this.#followed?.api.close();
    this.#former?.close();
    this.#followed = undefined;
    this.#former = undefined;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  async #until(done: () => boolean, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        if (!done()) return;
        end();
      };
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(end, timeoutMs);
      this.#waiting.add(wake);
      wake();
    });
  }

  /** Nothing has come of a stream that is needed: it says why itself. */
  #silence(config: WorkloadApiConfig, api: WorkloadApi, unknown: readonly string[]): Problem {
    const kind: StreamKind = unknown.every(isBundleName) ? 'bundles' : 'svids';
    const state = api.states.get(kind);
    const why = state !== undefined && 'why' in state ? `: ${state.why}` : '';
    return {
      message: `${config.display} has given no ${NOUN[kind]} within ${config.startTimeoutMs / 1000} s${why}`,
      fix: why.includes('PERMISSION_DENIED') ? REGISTER : REACH,
    };
  }

  #stateChanged({ display }: WorkloadApiConfig, kind: StreamKind, state: StreamState): void {
    const told = { workloadApi: display, stream: kind };
    if (state.at === 'following') this.#log.info(told, 'the SPIFFE Workload API is followed');
    if (state.at === 'failing') {
      this.#log.warn(
        { ...told, why: state.why },
        'the SPIFFE Workload API fails; what it last gave holds until it ends',
      );
    }
    if (state.at === 'stopped') {
      const message = 'the SPIFFE Workload API refuses to be asked; it is asked again after SIGHUP';
      this.#log.error({ ...told, why: state.why }, message);
    }
  }

  /** The same again, with every message, is no news. */
  #unusable({ display }: WorkloadApiConfig, bundles: readonly UnusableBundle[]): void {
    for (const _ of bundles) this.#events?.refused('bundles');
    const text = JSON.stringify(bundles.slice(0, MAX_LOGGED_BUNDLES));
    if (text === this.#unusableTold) return;
    this.#unusableTold = text;
    for (const { trustDomain, why } of bundles.slice(0, MAX_LOGGED_BUNDLES)) {
      const message = 'authorities from the SPIFFE Workload API cannot be used; nobody of their trust domain gets in';
      this.#log.error({ workloadApi: display, trustDomain, why }, message);
    }
    const more = bundles.length - MAX_LOGGED_BUNDLES;
    if (more > 0) this.#log.error({ workloadApi: display, count: more }, 'further authorities cannot be used');
  }
}

/** What is wrong, at the place in the main file that says where the API is. */
export type Problem = Pick<Finding, 'message' | 'fix'>;

const NOUN = { svids: 'certificate', bundles: 'authorities' } as const;
const REGISTER =
  'register an entry for this process (its user, its pod), and for the trust domains that it federates with';
const REACH = 'start the agent, mount its socket into this container, and name that socket';
