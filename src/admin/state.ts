/**
 * What the admin port asks of the process that it belongs to.
 */
import type { Result } from '../kernel/result.ts';

/** What the admin port shows of the process: functions, so that every answer is of its moment. Nothing secret is in them. */
export interface AdminState {
  /** Whether calls would be served now, and if not, why. */
  ready(): Readiness;
  /** Prometheus text exposition format 0.0.4. */
  metrics(): Promise<string>;
  /** The configuration in force and the last refused change. */
  describe(): object;
  tenants(): readonly object[];
  /** Why a call would be let through or refused, or what is wrong with the question; `query` names who would call what. */
  explain(query: URLSearchParams): Promise<Result<object, string>>;
  /** What was used until now, or what is wrong with the question; `query` says of whom, since when, and by what. */
  usage(query: URLSearchParams): Promise<Result<object, string>>;
}

export interface Readiness {
  readonly ready: boolean;
  /** Also present while ready: what is impaired. */
  readonly reasons: readonly string[];
}

export interface AdminServerOptions {
  /** IP address to bind. */
  readonly address: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly state: AdminState;
  /** Names beyond `localhost` under which the port may be asked; see `host-check.ts`. */
  readonly hostNames?: readonly string[];
  /** Told what went wrong inside when a request was answered 500. */
  readonly onError?: (cause: unknown) => void;
}
