/**
 * What responders have said of the certificates of a worker's clients, as long as they are connected. The main thread asks, for all
 * workers; here is remembered what came back, and asked again while somebody holds on to it.
 */
import type { TenantId } from '../kernel/ids.ts';
import type { CertificateStatus, StatusQuestion } from './ocsp-exchange.ts';

/** Somebody wants to know of a certificate, until it lets go. */
export interface StatusHold {
  /** When it is known, or nobody will say in time; undefined: it is known. Never rejects. */
  readonly settled: Promise<void> | undefined;
  release(): void;
}

export interface ClientStatusesHost {
  ask(question: StatusQuestion): void;
  /** What this certificate's calls were judged by may be otherwise. */
  changed(tenant: TenantId, id: string): void;
}

/** What nobody has said is asked for again after so long. */
export const STATUS_RETRY_MS = 5_000;
/** A status is asked for no more often than so, however short it holds. */
const MIN_RENEW_MS = 200;
/** Of the time that a status holds for. */
const RENEW_AFTER = 0.55;
/** Longer than a timer can be; then it is looked at again. */
const MAX_WAIT_MS = 3_600_000;

interface Entry {
  readonly question: StatusQuestion;
  holders: number;
  status: CertificateStatus | undefined;
  /** Wakes who waits. */
  settle: (() => void) | undefined;
  settled: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
}

export class ClientStatuses {
  readonly #host: ClientStatusesHost;
  readonly #nowMs: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(host: ClientStatusesHost, nowMs: () => number = Date.now) {
    this.#host = host;
    this.#nowMs = nowMs;
  }

  /** Certificates that somebody holds on to. */
  get size(): number {
    return this.#entries.size;
  }

  /** Wants to know of a certificate; who waits does so for no longer than `timeoutMs`. */
  hold(question: StatusQuestion, timeoutMs: number): StatusHold {
    const key = keyOf(question.tenant, question.id);
    const entry = this.#entries.get(key) ?? this.#begin(key, question, timeoutMs);
    entry.holders += 1;
    let held = true;
    return {
      settled: entry.settled,
      release: () => {
        if (!held) return;
        held = false;
        entry.holders -= 1;
        if (entry.holders > 0) return;
        clearTimeout(entry.timer);
        entry.settle?.();
        this.#entries.delete(key);
      },
    };
  }

  /** What is known now; undefined: nobody has been asked, or has said anything yet. */
  status(tenant: TenantId, id: string): CertificateStatus | undefined {
    return this.#entries.get(keyOf(tenant, id))?.status;
  }

  /** The main thread has heard something. */
  take(tenant: TenantId, id: string, status: CertificateStatus): void {
    const entry = this.#entries.get(keyOf(tenant, id));
    if (entry === undefined) return;
    const before = entry.status;
    const keeps = before !== undefined && this.#outweighs(before, status);
    if (!keeps) entry.status = status;
    this.#settle(entry);
    this.#askLater(entry);
    // Another worker's question has the same answer for all: nothing is judged again for that.
    if (!keeps && !isSame(status, before)) this.#host.changed(tenant, id);
  }

  close(): void {
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.timer);
      entry.settle?.();
    }
    this.#entries.clear();
  }

  #begin(key: string, question: StatusQuestion, timeoutMs: number): Entry {
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry: Entry = {
      question,
      holders: 0,
      status: undefined,
      settle: resolve,
      settled: promise,
      timer: undefined,
    };
    this.#entries.set(key, entry);
    entry.timer = setTimeout(() => {
      entry.status ??= { status: 'none', why: `no OCSP responder has answered within ${timeoutMs} ms` };
      this.#settle(entry);
      this.#askLater(entry);
    }, timeoutMs).unref();
    this.#host.ask(question);
    return entry;
  }

  /** That nobody says so again, or somebody what was said earlier, takes nothing away from what was said. */
  #outweighs(before: CertificateStatus, status: CertificateStatus): boolean {
    if (!this.#holds(before) || before.status === 'none') return false;
    return status.status === 'none' || status.thisUpdateMs < before.thisUpdateMs;
  }

  #holds(status: CertificateStatus): boolean {
    return status.status === 'revoked' || (status.status === 'good' && this.#nowMs() < status.untilMs);
  }

  #settle(entry: Entry): void {
    entry.settle?.();
    entry.settle = undefined;
    entry.settled = undefined;
  }

  #askLater(entry: Entry): void {
    clearTimeout(entry.timer);
    const { status } = entry;
    const waitMs = Math.min(Math.max(this.#renewalIn(status), MIN_RENEW_MS), MAX_WAIT_MS);
    entry.timer = setTimeout(() => {
      this.#host.ask(entry.question);
      // Should there be no answer, it is asked again.
      this.#askLater(entry);
    }, waitMs).unref();
  }

  /** A little after half of its time, from when on whoever asks for all of us asks again. */
  #renewalIn(status: CertificateStatus | undefined): number {
    if (status === undefined || status.status === 'none') return STATUS_RETRY_MS;
    return status.heardAtMs + RENEW_AFTER * (status.untilMs - status.heardAtMs) - this.#nowMs();
  }
}

/** Whether it comes to the same to who judges by it. */
function isSame(status: CertificateStatus, before: CertificateStatus | undefined): boolean {
  if (status.status === 'none' || before === undefined || before.status === 'none')
    return status.status === before?.status;
  return status.status === before.status && status.untilMs === before.untilMs;
}

function keyOf(tenant: TenantId, id: string): string {
  return `${tenant} ${id}`;
}
