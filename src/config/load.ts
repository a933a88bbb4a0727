/**
 * Loads the configuration: the main file, every tenant's file, every file that those name, all findings at once.
 *
 * What has not changed on disk is not read, parsed or checked again: a loader is kept for the life of the process.
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { TenantId } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { judgeValidity } from './certificates.ts';
import { YamlDocument } from './document.ts';
import { withEgressSlots } from './egress.ts';
import { FileCache, identityOf, reason } from './file-cache.ts';
import type { PlacedValidity } from './file-scope.ts';
import { type Finding, sortFindings } from './finding.ts';
import type { Generation, TenantConfig } from './generation.ts';
import { type BuiltMain, buildMain } from './main.ts';
import { judgeNeighbours } from './neighbours.ts';
import { type Environment, TELEMETRY_VARIABLES } from './telemetry.ts';
import { type BuiltTenant, buildTenant, type TenantDraft } from './tenant.ts';

export interface LoaderOptions {
  /** Where OpenTelemetry's variables are read from. */
  readonly environment: Environment;
  /** The time at which certificates are judged, in milliseconds since the epoch. */
  readonly nowMs: () => number;
}

interface CachedTenant {
  readonly revision: string;
  /** Revisions of the files it names, in the order of `built.dependents`. */
  readonly dependents: readonly string[];
  readonly built: BuiltTenant;
}

/** After so many tenants the event loop gets a turn: the admin port answers during a load of thousands. */
const TENANTS_PER_TURN = 50;

export class ConfigurationLoader {
  readonly #options: LoaderOptions;
  readonly #cache = new FileCache();
  #tenants = new Map<string, CachedTenant>();
  #files: ReadonlyMap<string, string> = new Map();
  #warnings: readonly Finding[] = [];
  #loading: Promise<unknown> = Promise.resolve();

  constructor(options: Partial<LoaderOptions> = {}) {
    this.#options = { environment: process.env, nowMs: Date.now, ...options };
  }

  /** Warnings of the last load. A load that failed has its warnings among its findings. */
  get warnings(): readonly Finding[] {
    return this.#warnings;
  }

  /**
   * Everything that the last load looked at, the tenants' directory too, by absolute path, whether it was there or not; each with
   * what it was on disk when the load looked, so that a watcher sees what changed since.
   */
  get files(): ReadonlyMap<string, string> {
    return this.#files;
  }

  /**
   * Loads what is on disk now. A tenant keeps its slot in `previous`; a new one gets the lowest that neither this generation nor
   * `previous` uses, since calls of the previous one may still run. When nothing has changed, the result is `previous` itself.
   *
   * `mainFile` may be relative to the working directory; findings then name all files so. Loads follow one another.
   */
  load(mainFile: string, previous: Generation | undefined): Promise<Result<Generation, readonly Finding[]>> {
    const load = this.#loading.then(() => this.#load(mainFile, previous));
    this.#loading = load.catch(() => undefined);
    return load;
  }

  async #load(mainFile: string, previous: Generation | undefined): Promise<Result<Generation, readonly Finding[]>> {
    this.#cache.begin();
    this.#warnings = [];
    const mainPath = resolve(mainFile);
    const mainText = this.#cache.read(mainPath);
    this.#files = this.#cache.identities();
    if (!mainText.ok) return err([wholeFile(mainFile, mainText.error, 'name the main file with --config')]);
    const document = new YamlDocument(mainFile, mainText.value.text);
    const main = buildMain(document, mainPath, this.#cache, this.#options.environment);
    const directory = main.tenantsDirectory;
    const directoryIdentity = directory === undefined ? undefined : identityOf(directory);
    const listing = this.#list(main);
    const tenants = await this.#loadTenants(mainFile, main, listing.names);
    this.#cache.end();
    const files = new Map(this.#cache.identities());
    if (directory !== undefined && directoryIdentity !== undefined) files.set(directory, directoryIdentity);
    this.#files = files;
    const findings = sortFindings([
      ...main.findings,
      ...this.#validity(main.document, main.validities),
      ...listing.findings,
      ...tenants.flatMap((tenant) => [...tenant.findings, ...this.#validity(tenant.document, tenant.validities)]),
      ...judgeNeighbours(tenants),
    ]);
    const drafts = tenants.map((tenant) => tenant.draft).filter((draft) => draft !== undefined);
    const failed = findings.some((finding) => finding.severity === 'error') || drafts.length < tenants.length;
    if (failed || main.draft === undefined) return err(findings);
    this.#warnings = findings;
    const digest = this.#digest(main, drafts);
    if (previous?.digest === digest) return ok(previous);
    const number = (previous?.number ?? 0) + 1;
    const egress = withEgressSlots(main.draft.egress, previous);
    return ok({ number, digest, ...main.draft, egress, tenants: withSlots(drafts, previous) });
  }

  /** The names of the tenants' files. */
  #list(main: BuiltMain): { readonly names: readonly string[]; readonly findings: readonly Finding[] } {
    const directory = main.tenantsDirectory;
    if (directory === undefined) return { names: [], findings: [] };
    const finding = (message: string, fix: string, severity: Finding['severity']): Finding =>
      main.document.finding({ path: ['tenants'] }, message, fix, severity);
    let entries: readonly string[];
    try {
      // Hidden entries are Kubernetes' (`..data`) and editors'.
      entries = readdirSync(directory).filter((name) => !name.startsWith('.'));
    } catch (cause) {
      const fix = 'name the directory that holds one file per tenant';
      return { names: [], findings: [finding(`${directory} ${reason(cause)}`, fix, 'error')] };
    }
    const findings = entries
      .filter((name) => name.endsWith('.yml'))
      .map((name) => finding(`${name} is not read`, `rename it to ${name.slice(0, -'.yml'.length)}.yaml`, 'warning'));
    const names = entries.filter((name) => name.endsWith('.yaml')).toSorted();
    if (names.length === 0) {
      const message = `${directory} holds no tenant’s file: every connection will be refused`;
      findings.push(finding(message, 'add a *.yaml file for each tenant', 'warning'));
    }
    return { names, findings };
  }

  async #loadTenants(mainFile: string, main: BuiltMain, names: readonly string[]): Promise<readonly BuiltTenant[]> {
    const { tenantsDirectory } = main;
    if (tenantsDirectory === undefined) return [];
    const fromMain = relative(dirname(resolve(mainFile)), tenantsDirectory);
    const kept = new Map<string, CachedTenant>();
    const tenants: BuiltTenant[] = [];
    for (const [index, name] of names.entries()) {
      if (index % TENANTS_PER_TURN === TENANTS_PER_TURN - 1) await setImmediate();
      const path = join(tenantsDirectory, name);
      const display = join(fromMain, name);
      const file = isAbsolute(mainFile) ? path : join(dirname(mainFile), display);
      const cached = this.#tenant(path, file, display);
      kept.set(path, cached);
      tenants.push(cached.built);
    }
    this.#tenants = kept;
    return tenants;
  }

  #tenant(path: string, file: string, display: string): CachedTenant {
    const revision = this.#cache.revision(path);
    const cached = this.#tenants.get(path);
    if (cached !== undefined && cached.revision === revision && this.#unchanged(cached)) return cached;
    const text = this.#cache.read(path);
    const built = text.ok
      ? buildTenant(new YamlDocument(file, text.value.text), path, display, this.#cache)
      : unreadable(file, text.error);
    const dependents = built.dependents.map((dependent) => this.#cache.revision(dependent));
    return { revision, dependents, built };
  }

  #unchanged(cached: CachedTenant): boolean {
    return cached.built.dependents.every((path, index) => this.#cache.revision(path) === cached.dependents[index]);
  }

  #validity(document: YamlDocument, validities: readonly PlacedValidity[]): readonly Finding[] {
    const now = this.#options.nowMs();
    return validities.flatMap(({ path, file, validity }) => {
      const problem = judgeValidity(validity, now);
      if (problem === undefined) return [];
      return [document.finding({ path }, `${file} ${problem.message}`, problem.fix, problem.severity)];
    });
  }

  #digest(main: BuiltMain, drafts: readonly TenantDraft[]): string {
    const hash = createHash('sha256').update(main.digest);
    for (const name of TELEMETRY_VARIABLES) hash.update(`\0${name}=${this.#options.environment[name] ?? ''}`);
    for (const draft of drafts) hash.update(`\0${draft.file}\0${draft.digest}`);
    return hash.digest('hex');
  }
}

function unreadable(file: string, message: string): BuiltTenant {
  return {
    document: new YamlDocument(file, ''),
    draft: undefined,
    facts: undefined,
    findings: [wholeFile(file, message, 'make the file readable, or remove it')],
    validities: [],
    dependents: [],
  };
}

function wholeFile(file: string, message: string, fix: string): Finding {
  return { file, line: 0, column: 0, path: '', message, fix, severity: 'error' };
}

/** Slots are indexes into shared tables, so a tenant's never changes while the process lives. */
function withSlots(drafts: readonly TenantDraft[], previous: Generation | undefined): readonly TenantConfig[] {
  const before = new Map<TenantId, number>(previous?.tenants.map((tenant) => [tenant.id, tenant.slot]));
  const used = new Set(before.values());
  let next = 0;
  return drafts.map((draft) => {
    const slot = before.get(draft.id);
    if (slot !== undefined) return { ...draft, slot };
    while (used.has(next)) next += 1;
    used.add(next);
    return { ...draft, slot: next };
  });
}

/** Loads the configuration once. Whoever reloads keeps a `ConfigurationLoader`. */
export function loadConfiguration(
  mainFile: string,
  previous: Generation | undefined,
): Promise<Result<Generation, readonly Finding[]>> {
  return new ConfigurationLoader().load(mainFile, previous);
}
