/**
 * What is done to the system under load: the configuration changes every few seconds, the model server crashes, a data-plane thread
 * dies, and a neighbour floods. Each says in the ledger what calls may come to because of it; most of them: nothing.
 */
import { X509Certificate } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { issueClient, issueServer } from '../../src/identity/issue.ts';
import { auditRecord } from '../e2e/harness/audit-records.ts';
import { until } from '../e2e/harness/until.ts';
import { killThread } from '../e2e/harness/worker-inspector.ts';
import type { Ground } from './ground.ts';
import type { Disturbance, Ledger, SoakCall } from './ledger.ts';
import { Line } from './line.ts';
import type { Load } from './load.ts';
import { pingFlood, resetFlood } from './rogue.ts';

export interface EventsOptions {
  readonly ground: Ground;
  readonly ledger: Ledger;
  readonly load: Load;
  readonly totalMs: number;
  readonly reloadEveryMs: number;
  readonly say: (text: string) => void;
}

/** What happened, for the table. */
export interface Happened {
  readonly name: string;
  readonly atMs: number;
  readonly tookMs: number;
  readonly detail: string;
}

const UNAUTHENTICATED = 16;
/** After the model server is back: its circuit may be open for so long. */
const CIRCUIT_MS = 4_000;
/** After a thread is back: who was cut by it may hear of it a little later. */
const CUT_MS = 3_000;
const FLOOD_EVERY_MS = 13_000;
const RELOAD_TIMEOUT_MS = 20_000;

export class Events {
  readonly happened: Happened[] = [];
  /** Changes that the configuration loader must refuse, or may when it looks between two files. */
  refusedChanges = 0;
  killedWorkers = 0;
  readonly #options: EventsOptions;
  readonly #from = Date.now();
  #guest: { present: boolean; readonly visit: Promise<void> } | undefined;

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  /** Does all that is to be done; resolves at the end of the time. */
  async run(): Promise<void> {
    const { totalMs } = this.#options;
    await Promise.all([
      this.#reloads(),
      this.#floods(),
      this.#once(totalMs / 3, 'the model server is killed and restarted', () => this.#restartModel()),
      this.#once((totalMs * 2) / 3, 'a data-plane thread is killed', () => this.#killWorker()),
      sleep(totalMs),
    ]);
    if (this.#guest !== undefined) {
      this.#guest.present = false;
      await this.#guest.visit;
    }
  }

  async #once(atMs: number, name: string, act: () => Promise<string>): Promise<void> {
    await sleep(atMs);
    await this.#note(name, act);
  }

  async #note(name: string, act: () => Promise<string>): Promise<void> {
    const { ledger, say } = this.#options;
    const from = Date.now();
    try {
      const detail = await act();
      const tookMs = Date.now() - from;
      this.happened.push({ name, atMs: from - this.#from, tookMs, detail });
      say(`  ${name}: ${tookMs} ms${detail === '' ? '' : `, ${detail}`}`);
    } catch (cause) {
      ledger.violate(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  async #reloads(): Promise<void> {
    const { totalMs, reloadEveryMs } = this.#options;
    const steps: readonly (readonly [string, () => Promise<string>])[] = [
      ['reload: another quota', () => this.#changeQuota()],
      ['reload: a tenant comes', () => this.#addGuest()],
      ['reload: another server certificate', () => this.#rotateServer()],
      ['reload: a bad change', () => this.#badChange()],
      ['reload: the tenant leaves', () => this.#removeGuest()],
      ['reload: another signing key', () => this.#rotateKey()],
      ['reload: another client certificate (egress)', () => this.#rotateEgress()],
    ];
    for (let round = 0; ; round++) {
      const atMs = (round + 1) * reloadEveryMs;
      // The last one is seen through before the end.
      if (atMs > totalMs - 2_000) return;
      await sleep(Math.max(0, this.#from + atMs - Date.now()));
      const step = steps[round % steps.length];
      if (step !== undefined) await this.#note(...step);
    }
  }

  async #floods(): Promise<void> {
    const { totalMs, ground, ledger } = this.#options;
    for (let round = 0; ; round++) {
      const atMs = 5_000 + round * FLOOD_EVERY_MS;
      if (atMs > totalMs - 3_000) return;
      await sleep(Math.max(0, this.#from + atMs - Date.now()));
      if (round % 2 === 0) await this.#note('a neighbour resets', () => resetFlood(ground, ledger));
      else await this.#note('a neighbour pings', () => pingFlood(ground));
    }
  }

  async #restartModel(): Promise<string> {
    const { ground } = this.#options;
    const outage = this.#disturb('model', { touches: () => true, statuses: [14] });
    await ground.restartModel();
    outage.to = Date.now() + CIRCUIT_MS;
    return '';
  }

  async #killWorker(): Promise<string> {
    const { ground, ledger, load } = this.#options;
    const open = load.openLines;
    const direct = this.#disturb('worker', {
      touches: ({ via }) => via === 'direct',
      connections: true,
      closedDoor: true,
      recordsMayBeLost: true,
    });
    const through = this.#disturb('worker, through the egress', {
      touches: ({ via }) => via === 'egress',
      statuses: [14],
    });
    await killThread(ground.inspectorPort, /worker\.ts/);
    this.killedWorkers += 1;
    const died = await auditRecord(
      ground.sidecar,
      'the death',
      (one) => one.type === 'event' && one.event === 'worker_died',
    );
    await until(
      'readiness',
      async () => ((await ground.sidecar.admin('/readyz')).status === 200 ? true : undefined),
      20_000,
    );
    direct.to = through.to = Date.now() + CUT_MS;
    const cut = ledger.calls.filter(
      ({ end, endedAt, selfCut }) => end?.kind === 'connection' && selfCut === 'no' && endedAt >= direct.from,
    );
    return `${cut.length} calls cut, ${load.openLines} of ${open} lines left; ${died.type === 'event' ? died.detail : ''}`;
  }

  async #changeQuota(): Promise<string> {
    const calls = 50_000 + (this.happened.length % 7) * 1_000;
    const quota = { tenant: { calls: `${calls}/s`, burst: calls }, concurrentCalls: 4_000 };
    const { ground } = this.#options;
    return this.#reloaded(() => ground.sidecar.writeTenantFile('acme', ground.tenantFile('acme', { quota })));
  }

  async #addGuest(): Promise<string> {
    const { ground, load } = this.#options;
    const detail = await this.#reloaded(() => ground.sidecar.writeTenantFile('guest', ground.tenantFile('guest')));
    const guest = { present: true };
    this.#guest = Object.assign(guest, { visit: load.visit(() => guest.present) });
    return detail;
  }

  /** The guest's calls go on while it is removed: those that run end with what they were admitted by, no new one begins. */
  async #removeGuest(): Promise<string> {
    const { ground } = this.#options;
    const leaving = this.#disturb('guest', {
      touches: ({ tenant }) => tenant === 'guest',
      statuses: [UNAUTHENTICATED],
      // What ends amid a message is reset.
      connections: true,
      refusals: true,
      closedDoor: true,
    });
    const detail = await this.#reloaded(() => rmSync(join(ground.sidecar.directory, 'tenants', 'guest.yaml')));
    await sleep(300);
    if (this.#guest !== undefined) {
      this.#guest.present = false;
      await this.#guest.visit;
      this.#guest = undefined;
    }
    leaving.to = Date.now();
    return detail;
  }

  async #rotateServer(): Promise<string> {
    const { ground } = this.#options;
    const { pki } = ground.sidecar.tenant('globex');
    const server = issueServer(pki.ca, { dnsNames: [pki.serverName], ipAddresses: ['127.0.0.1'], days: 1 });
    // The two files change one after the other; a look between them is refused.
    this.refusedChanges += 1;
    const detail = await this.#reloaded(() => {
      replace(join(ground.sidecar.directory, 'pki', 'globex', 'server.pem'), server.certPem);
      replace(join(ground.sidecar.directory, 'pki', 'globex', 'server.key'), server.keyPem);
    });
    const line = await Line.connect(ground.access('globex', 'direct'));
    line.close();
    if (line.serverFingerprint !== new X509Certificate(server.certPem).fingerprint256)
      throw new Error('a new handshake still gets the old certificate');
    return detail;
  }

  async #badChange(): Promise<string> {
    const { ground } = this.#options;
    const failures = (): Promise<number> => this.#metric('bulkhead_config_reload_failures_total');
    const before = await failures();
    const file = join(ground.sidecar.directory, 'tenants', 'nonsense.yaml');
    this.refusedChanges += 1;
    writeFileSync(file, 'tenant: nonsense\nnonsense: true\n');
    await until('the refusal', async () => ((await failures()) > before ? true : undefined), RELOAD_TIMEOUT_MS);
    rmSync(file);
    return '';
  }

  async #rotateKey(): Promise<string> {
    const { ground } = this.#options;
    const next = ground.nextKey();
    const detail = await this.#reloaded(() =>
      replace(join(ground.sidecar.directory, 'pki', 'acme', 'jwks.json'), next.jwks),
    );
    next.use();
    return detail;
  }

  async #rotateEgress(): Promise<string> {
    const { ground } = this.#options;
    const { pki } = ground.sidecar.tenant('initech');
    const spiffeId = `spiffe://${pki.trustDomain}/renewed-${this.happened.length}`;
    const renewed = issueClient(pki.ca, { commonName: 'renewed', spiffeId, days: 1 });
    const generation = (): Promise<number> => ground.egress.metric('bulkhead_config_generation');
    const before = await generation();
    this.refusedChanges += 1;
    ground.egress.replace('client.pem', renewed.certPem);
    ground.egress.replace('client.key', renewed.keyPem);
    await until('the reload', async () => ((await generation()) > before ? true : undefined), RELOAD_TIMEOUT_MS);
    return '';
  }

  /** Changes something, and waits until all calls begin with it. */
  async #reloaded(change: () => void): Promise<string> {
    const before = await this.#metric('bulkhead_config_generation');
    change();
    const after = await until(
      'the reload',
      async () => {
        const now = await this.#metric('bulkhead_config_generation');
        return now > before ? now : undefined;
      },
      RELOAD_TIMEOUT_MS,
    );
    return `generation ${after}`;
  }

  async #metric(name: string): Promise<number> {
    const { text } = await this.#options.ground.sidecar.admin('/metrics');
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  }

  #disturb(name: string, what: Partial<Disturbance> & { readonly touches: (call: SoakCall) => boolean }): Disturbance {
    const nothing = { statuses: [], connections: false, refusals: false, closedDoor: false, recordsMayBeLost: false };
    const lasting = { name, from: Date.now(), to: Number.POSITIVE_INFINITY };
    return this.#options.ledger.disturb({ ...lasting, ...nothing, ...what });
  }
}

function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
