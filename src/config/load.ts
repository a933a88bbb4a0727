/**
 * Loads the configuration: the main file, every tenant's file, every file that those name, all findings at once.
 *
 * What has not changed on disk is not read, parsed or checked again: a loader is kept for the life of the process.
 */
import { createHash } from 'node:crypto';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { TenantId } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { judgeValidity } from './certificates.ts';
import { YamlDocument } from './document.ts';
import { withEgressSlots } from './egress.ts';
import { judgeFetchedAddresses } from './fetched-url.ts';
import { FileCache } from './file-cache.ts';
import type { PlacedValidity } from './file-scope.ts';
import { type Finding, sortFindings } from './finding.ts';
import { judgeFleetLimits } from './fleet.ts';
import type { Generation } from './generation.ts';
import { type BuiltMain, buildMain, type MainDraft } from './main.ts';
import { judgeAccounts } from './memory-ceiling.ts';
import { inOrganisations, judgeOrganisations, withOrganisationSlots } from './quota.ts';
import { judgePriorities, withScheduling } from './scheduling.ts';
import { judgeSharedListener } from './shared-listener.ts';
import type { StoredTenant } from './stored-tenant.ts';
import { type Environment, TELEMETRY_VARIABLES } from './telemetry.ts';
import type { TenantDraft } from './tenant.ts';
import { TenantFiles, type TenantsPlace } from './tenant-files.ts';
import { ENDPOINT_VARIABLE } from './workload-api.ts';
import { NOT_ASKED, type WorkloadMaterial } from './workload-material.ts';

export interface LoaderOptions {
  /** Where OpenTelemetry's variables are read from. */
  readonly environment: Environment;
  /** The time at which certificates are judged, in milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** What the SPIFFE Workload API gives. Default: it is not asked. */
  readonly workload: WorkloadMaterial;
}

export class ConfigurationLoader {
  readonly #options: LoaderOptions;
  readonly #cache: FileCache;
  readonly #tenants: TenantFiles;
  /** The main file and what it names, as of the last load. */
  #mainFiles: readonly string[] = [];
  /** Whether the last load looked at all that it was to look at: the next one needs not look at the rest. */
  #complete = false;
  readonly #touched = new Set<string>();
  #warnings: readonly Finding[] = [];
  #loading: Promise<unknown> = Promise.resolve();

  constructor(options: Partial<LoaderOptions> = {}) {
    this.#options = { environment: process.env, nowMs: Date.now, workload: NOT_ASKED, ...options };
    this.#cache = new FileCache(this.#options.workload);
    this.#tenants = new TenantFiles(this.#cache);
  }

  /** Warnings of the last load. A load that failed has its warnings among its findings. */
  get warnings(): readonly Finding[] {
    return this.#warnings;
  }

  /**
   * Everything that the configuration is made of, the tenants' directory too, by absolute path, whether it is there or not; each
   * with what it was on disk when it was looked at, so that a watcher sees what changed since. Always the same map, as of now.
   */
  get files(): ReadonlyMap<string, string> {
    return this.#cache.identities;
  }

  /** What the configuration takes from the SPIFFE Workload API, by name (`workload-material.ts`). Always the same set, as of now. */
  get workloadNames(): ReadonlySet<string> {
    return this.#cache.workloadNames;
  }

  /** Whether the last load was done without knowing what some of them stand for: it cannot come into force. */
  get awaitsWorkload(): boolean {
    return this.#cache.hasUnasked;
  }

  /** Those of `files` that the last load found new, gone or different. */
  get touched(): ReadonlySet<string> {
    return this.#touched;
  }

  /**
   * Loads what is on disk now. A tenant keeps its slot in `previous`; a new one gets the lowest that neither this generation nor
   * `previous` uses, since calls of the previous one may still run. What has not changed is the same object as in `previous`, up
   * to the whole.
   *
   * `suspects`: what may have changed since the last load, by absolute path, as a watcher tells. Then only that is looked at, with
   * all other files of the tenants that it concerns; and everything after all, before a change is refused. Checks between
   * tenants are over all of them, always. Without `suspects`, every file is looked at.
   *
   * `mainFile` may be relative to the working directory; findings then name all files so. Loads follow one another.
   */
  load(
    mainFile: string,
    previous: Generation | undefined,
    suspects?: ReadonlySet<string>,
  ): Promise<Result<Generation, readonly Finding[]>> {
    const load = this.#loading.then(() => this.#loadSuspects(mainFile, previous, suspects));
    this.#loading = load.catch(() => undefined);
    return load;
  }

  async #loadSuspects(
    mainFile: string,
    previous: Generation | undefined,
    suspects: ReadonlySet<string> | undefined,
  ): Promise<Result<Generation, readonly Finding[]>> {
    this.#touched.clear();
    if (suspects !== undefined && this.#complete) {
      const loaded = await this.#load(mainFile, previous, suspects);
      if (loaded.ok) return loaded;
    }
    return await this.#load(mainFile, previous, undefined);
  }

  async #load(
    mainFile: string,
    previous: Generation | undefined,
    suspects: ReadonlySet<string> | undefined,
  ): Promise<Result<Generation, readonly Finding[]>> {
    this.#complete = false;
    this.#warnings = [];
    const mainPath = resolve(mainFile);
    this.#cache.begin(suspects === undefined ? undefined : [...suspects, mainPath, ...this.#mainFiles]);
    const mainText = this.#cache.read(mainPath);
    if (!mainText.ok) {
      this.#touch();
      return err([wholeFile(mainFile, mainText.error, 'name the main file with --config')]);
    }
    const document = new YamlDocument(mainFile, mainText.value.text);
    const main = buildMain(document, mainPath, this.#cache, this.#options.environment);
    const listed = await this.#loadTenants(mainFile, main);
    this.#forgetUnused([mainPath, ...main.dependents]);
    this.#touch();
    const findings = sortFindings(this.#findings(main, listed));
    const drafts = this.#tenants.built.map((tenant) => tenant.draft);
    const failed = findings.some((finding) => finding.severity === 'error') || drafts.includes(undefined);
    if (failed || main.draft === undefined) return err(findings);
    this.#warnings = findings;
    return ok(
      this.#generation(
        main,
        main.draft,
        drafts.filter((draft) => draft !== undefined),
        previous,
      ),
    );
  }

  /** Looks at the tenants. Returns what is wrong with their directory. */
  async #loadTenants(mainFile: string, main: BuiltMain): Promise<readonly Finding[]> {
    const { tenantsDirectory: directory } = main;
    if (directory === undefined) {
      // While the main file cannot be understood, nobody knows where they are: they stay as they were, to be looked at later.
      if (main.draft === undefined) return [];
      this.#tenants.clear();
      this.#complete = true;
      return [];
    }
    const listing = this.#list(main, directory);
    if (listing.names === undefined) return listing.findings;
    const display = relative(dirname(resolve(mainFile)), directory);
    const typed = isAbsolute(mainFile) ? directory : join(dirname(mainFile), display);
    const place: TenantsPlace = { directory, typed, display };
    await this.#tenants.refresh(place, listing.names);
    this.#complete = true;
    return listing.findings;
  }

  /** The names of the tenants' files; undefined when they cannot be had: the tenants stay as they were, to be looked at later. */
  #list(
    main: BuiltMain,
    directory: string,
  ): { readonly names: readonly string[] | undefined; readonly findings: readonly Finding[] } {
    const finding = (message: string, fix: string, severity: Finding['severity']): Finding =>
      main.document.finding({ path: ['tenants'] }, message, fix, severity);
    const entries = this.#cache.list(directory);
    if (!entries.ok) {
      const fix = 'name the directory that holds one file per tenant';
      return { names: undefined, findings: [finding(`${directory} ${entries.error}`, fix, 'error')] };
    }
    // Hidden entries are Kubernetes' (`..data`) and editors'.
    const visible = entries.value.filter((name) => !name.startsWith('.'));
    const findings = visible
      .filter((name) => name.endsWith('.yml'))
      .map((name) => finding(`${name} is not read`, `rename it to ${name.slice(0, -'.yml'.length)}.yaml`, 'warning'));
    const names = visible.filter((name) => name.endsWith('.yaml'));
    if (names.length === 0) {
      const message = `${directory} holds no tenant’s file: every connection will be refused`;
      findings.push(finding(message, 'add a *.yaml file for each tenant', 'warning'));
    }
    return { names, findings };
  }

  #forgetUnused(mainFiles: readonly string[]): void {
    const lost = this.#tenants.takeLost(this.#mainFiles);
    for (const file of mainFiles) lost.delete(file);
    for (const file of lost) this.#cache.forget(file);
    this.#mainFiles = mainFiles;
  }

  #touch(): void {
    for (const path of this.#cache.moved) this.#touched.add(path);
  }

  /** Everything that is wrong, in the order of the files. */
  #findings(main: BuiltMain, listed: readonly Finding[]): readonly Finding[] {
    const findings = [...main.findings, ...this.#validity(main.document, main.validities), ...listed];
    findings.push(...this.#judgeEndpoint(main));
    if (!this.#complete) return findings;
    for (const { document, findings: own, validities } of this.#tenants.built) {
      findings.push(...own, ...this.#validity(document, validities));
    }
    findings.push(...this.#tenants.judgeNeighbours(), ...judgeSharedListener(main, this.#tenants.built));
    if (main.draft?.fetching !== undefined) {
      findings.push(...judgeFetchedAddresses(main.draft.fetching, this.#tenants.built));
    }
    findings.push(...judgeAccounts(main.ceilingBytes, this.#tenants.built));
    if (main.draft?.fleet === undefined && main.draft !== undefined)
      findings.push(
        ...judgeFleetLimits({ document: main.document, organisations: main.draft.organisations }, this.#tenants.built),
      );
    findings.push(...judgeOrganisations(main.draft?.organisations, this.#tenants.built));
    findings.push(...judgePriorities(main.draft, this.#tenants.built));
    return findings;
  }

  #validity(document: YamlDocument, validities: readonly PlacedValidity[]): readonly Finding[] {
    const now = this.#options.nowMs();
    return validities.flatMap(({ path, file, validity }) => {
      const problem = judgeValidity(validity, now);
      if (problem === undefined) return [];
      return [document.finding({ path }, `${file} ${problem.message}`, problem.fix, problem.severity)];
    });
  }

  #judgeEndpoint({ document, draft }: BuiltMain): readonly Finding[] {
    if (draft === undefined || !this.#complete) return [];
    const isNeeded = this.#cache.workloadNames.size > 0;
    if (isNeeded === (draft.workloadApi !== undefined)) return [];
    if (!isNeeded) {
      // The variable may be there for other programs.
      if (!document.has('spiffe')) return [];
      const unused = 'nothing takes a certificate or authorities from it';
      const remedy = 'name some by spiffeId, spiffeHint or spiffeBundle, or remove it';
      return [document.finding({ path: ['spiffe'], at: 'key' }, unused, remedy, 'warning')];
    }
    const message = 'is not known, and certificates or authorities are to come from the SPIFFE Workload API';
    const fix = `add spiffe: { workloadApi: unix:/path }, or set ${ENDPOINT_VARIABLE}`;
    return [document.finding({ path: ['spiffe', 'workloadApi'] }, message, fix)];
  }

  #generation(
    main: BuiltMain,
    draft: MainDraft,
    drafts: readonly TenantDraft[],
    previous: Generation | undefined,
  ): Generation {
    const digest = this.#digest(main, drafts);
    if (previous?.digest === digest) return previous;
    const number = (previous?.number ?? 0) + 1;
    const egress = withEgressSlots(draft.egress, previous);
    const organisations = withOrganisationSlots(draft.organisations, previous);
    const scheduled = withScheduling(inOrganisations(drafts, organisations), draft.scheduling);
    const tenants = withSlots(scheduled, previous);
    return { number, digest, ...draft, egress, organisations, tenants };
  }

  #digest(main: BuiltMain, drafts: readonly TenantDraft[]): string {
    const hash = createHash('sha256').update(main.digest);
    for (const name of [...TELEMETRY_VARIABLES, ENDPOINT_VARIABLE])
      hash.update(`\0${name}=${this.#options.environment[name] ?? ''}`);
    hash.update(drafts.map((draft) => `\0${draft.file}\0${draft.digest}`).join(''));
    return hash.digest('hex');
  }
}

function wholeFile(file: string, message: string, fix: string): Finding {
  return { file, line: 0, column: 0, path: '', message, fix, severity: 'error' };
}

/** Slots are indexes into shared tables, so a tenant's never changes while the process lives. */
function withSlots(drafts: readonly TenantDraft[], previous: Generation | undefined): readonly StoredTenant[] {
  const before = new Map<TenantId, StoredTenant>();
  const used = new Set<number>();
  for (const tenant of previous?.tenants ?? []) {
    before.set(tenant.id, tenant);
    used.add(tenant.slot);
  }
  let next = 0;
  return drafts.map((draft) => {
    const known = before.get(draft.id);
    if (known !== undefined && known.digest === draft.digest) return known;
    if (known !== undefined) return { ...draft, slot: known.slot };
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
