/**
 * Asks OCSP responders for all workers: about one certificate once, so many at a time for each tenant, and again when half of the time is over
 * that the last answer holds for. A tenant whose responder hangs waits alone.
 */
import { askResponder, type CertificateStatus, type StatusQuestion, statusOf } from '../authn/ocsp-exchange.ts';
import { SecondChanceCache } from '../authn/second-chance-cache.ts';
import { Turnstile } from '../authn/turnstile.ts';
import type { OcspConfig } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import type { OcspAnswer } from '../identity/ocsp-response-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import { err, type Result } from '../kernel/result.ts';

/** Certificates of one tenant whose status is remembered, beyond those that a worker's client holds on to. */
export const MAX_STATUSES = 2048;
/** Of one tenant's questions, so many are asked at once. */
export const MAX_QUESTIONS_AT_ONCE = 8;
/** And so many wait for their turn, with those. */
export const MAX_PENDING_QUESTIONS = 256;
/** A responder that has failed to say is asked about the same certificate again after so long. */
const RETRY_MS = 2_000;

export interface StatusDeskHost {
  readonly fetch: DocumentFetch;
  readonly nowMs: () => number;
  /** For every worker. */
  answered(tenant: TenantId, id: string, status: CertificateStatus): void;
  /** A responder was asked, and this came of it. */
  heard(tenant: TenantId, answer: OcspAnswer['status'] | 'none'): void;
  failed(tenant: TenantId, why: string): void;
}

interface Tenant {
  config: OcspConfig;
  readonly known: SecondChanceCache<Known>;
  readonly pending: Set<string>;
  readonly turnstile: Turnstile;
}

interface Known {
  readonly status: CertificateStatus;
  readonly askedAtMs: number;
}

export class StatusDesk {
  readonly #host: StatusDeskHost;
  readonly #tenants = new Map<TenantId, Tenant>();

  constructor(host: StatusDeskHost) {
    this.#host = host;
  }

  /** Follows what these tenants say. What a CA has said stays said, whoever was asked. */
  apply(tenants: readonly Pick<TenantConfig, 'id' | 'clientRevocation'>[]): void {
    const left = new Set(this.#tenants.keys());
    for (const { id, clientRevocation } of tenants) {
      const config = clientRevocation?.ocsp;
      if (config === undefined) continue;
      left.delete(id);
      const tenant = this.#tenants.get(id);
      if (tenant === undefined) this.#tenants.set(id, newTenant(config));
      else tenant.config = config;
    }
    for (const id of left) this.#tenants.delete(id);
  }

  /** Answers at once what is known, and asks for what is not, or not for long any more. */
  ask(question: StatusQuestion): void {
    const tenant = this.#tenants.get(question.tenant);
    if (tenant === undefined)
      return this.#answer(question, { status: 'none', why: 'its tenant asks no OCSP responder' });
    const nowMs = this.#host.nowMs();
    const known = tenant.known.get(question.id);
    if (known !== undefined && counts(known, nowMs)) {
      this.#answer(question, known.status);
      if (nowMs < askAgainAt(known)) return;
    }
    if (tenant.pending.has(question.id)) return;
    if (tenant.pending.size >= MAX_PENDING_QUESTIONS) {
      const why = 'too many certificates of its tenant are being asked about';
      return this.#answer(question, { status: 'none', why });
    }
    tenant.pending.add(question.id);
    void this.#find(question, tenant).finally(() => tenant.pending.delete(question.id));
  }

  async #find(question: StatusQuestion, tenant: Tenant): Promise<void> {
    const answer = await tenant.turnstile.run(() => this.#ask(question, tenant.config));
    const nowMs = this.#host.nowMs();
    const known = tenant.known.get(question.id)?.status;
    const news = judge(answer, known, tenant.config, nowMs);
    this.#host.heard(question.tenant, answer.ok ? answer.value.status : 'none');
    if (news.problem !== undefined) this.#host.failed(question.tenant, news.problem);
    tenant.known.set(question.id, { status: news.status, askedAtMs: nowMs });
    this.#answer(question, news.status);
  }

  async #ask(question: StatusQuestion, config: OcspConfig): Promise<Result<OcspAnswer, string>> {
    try {
      return await askResponder(question, config, this.#host);
    } catch (cause) {
      return err(cause instanceof Error ? cause.message : String(cause));
    }
  }

  #answer({ tenant, id }: StatusQuestion, status: CertificateStatus): void {
    this.#host.answered(tenant, id, status);
  }
}

function newTenant(config: OcspConfig): Tenant {
  return {
    config,
    known: new SecondChanceCache(MAX_STATUSES, Number.POSITIVE_INFINITY),
    pending: new Set(),
    turnstile: new Turnstile(MAX_QUESTIONS_AT_ONCE),
  };
}

/** Whether it may be used as it is. What was not said is not asked for again at once. */
function counts({ status, askedAtMs }: Known, nowMs: number): boolean {
  return status.status === 'none' ? nowMs < askedAtMs + RETRY_MS : nowMs < status.untilMs;
}

/** After half of the time for which it holds, but not at once after somebody failed to say anything newer. */
function askAgainAt({ status, askedAtMs }: Known): number {
  if (status.status === 'none') return askedAtMs + RETRY_MS;
  const half = status.heardAtMs + (status.untilMs - status.heardAtMs) / 2;
  return Math.max(half, askedAtMs === status.heardAtMs ? half : askedAtMs + RETRY_MS);
}

interface News {
  readonly status: CertificateStatus;
  readonly problem?: string;
}

/** What is known after an answer: nothing older than before, and nothing less as long as what was known counts. */
function judge(
  answer: Result<OcspAnswer, string>,
  known: CertificateStatus | undefined,
  config: OcspConfig,
  nowMs: number,
): News {
  const last = known === undefined || known.status === 'none' ? undefined : known;
  // What was taken back stays so until somebody says otherwise.
  const kept = last !== undefined && (last.status === 'revoked' || nowMs < last.untilMs) ? last : undefined;
  if (!answer.ok) return { status: kept ?? { status: 'none', why: answer.error }, problem: answer.error };
  if (last !== undefined && answer.value.status !== 'unknown' && answer.value.thisUpdateMs < last.thisUpdateMs) {
    const problem = 'an OCSP responder has given an older answer than before';
    return { status: kept ?? { status: 'none', why: problem }, problem };
  }
  const status = statusOf(answer.value, config, nowMs);
  if (status.status === 'none') return { status: kept ?? status, problem: status.why };
  return { status };
}
