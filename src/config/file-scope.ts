/**
 * One configuration file while it is built: what it names is resolved and read from here, and what is wrong is placed here.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { Result } from '../kernel/result.ts';
import {
  covers,
  type FileProblem,
  judgeAuthorities,
  judgeClientAuthorities,
  judgeKeyPair,
  judgeServerUse,
  namesOf,
  parseCertificates,
  parsePrivateKey,
  type Validity,
  validityOf,
} from './certificates.ts';
import type { YamlDocument } from './document.ts';
import { type FetchedAddress, parseFetchedUrl } from './fetched-url.ts';
import type { FileCache } from './file-cache.ts';
import { type Finding, MAX_FINDINGS_PER_FILE, moreFindings, type Place, type ValuePath } from './finding.ts';
import type { KeyPairPem } from './generation.ts';

/** A certificate's life, and the place that names its file. */
export interface PlacedValidity {
  readonly path: ValuePath;
  readonly file: string;
  readonly validity: Validity;
}

export class FileScope {
  readonly document: YamlDocument;
  readonly #findings: Finding[] = [];
  #unlisted = 0;
  #unlistedErrors = false;
  readonly validities: PlacedValidity[] = [];
  /** Addresses that documents are to be fetched from; the main file says whether they may be. */
  readonly fetched: FetchedAddress[] = [];
  /** Absolute paths of the files that were named. */
  readonly dependents = new Set<string>();
  readonly #directory: string;
  readonly #cache: FileCache;

  /** `path` is the absolute path of the document's file. */
  constructor(document: YamlDocument, path: string, cache: FileCache) {
    this.document = document;
    this.#directory = dirname(path);
    this.#cache = cache;
  }

  /** The absolute path of a file named in this one. */
  resolve(named: string): string {
    return resolve(this.#directory, named);
  }

  report(place: Place, message: string, fix: string, severity: Finding['severity'] = 'error'): void {
    if (!this.full) this.add([this.document.finding(place, message, fix, severity)]);
    else {
      this.#unlisted += 1;
      this.#unlistedErrors ||= severity === 'error';
    }
  }

  /** Adds findings that have their place already. */
  add(findings: readonly Finding[]): void {
    this.#findings.push(...findings);
  }

  /** Whether there are so many findings that further ones are only counted: whoever looks for them in a loop may stop. */
  get full(): boolean {
    return this.#findings.length >= MAX_FINDINGS_PER_FILE;
  }

  /** What was reported so far. */
  get findings(): readonly Finding[] {
    if (this.#unlisted === 0) return this.#findings;
    const more = moreFindings(this.document.file, this.#unlisted, this.#unlistedErrors ? 'error' : 'warning');
    return [...this.#findings, more];
  }

  get failed(): boolean {
    return this.#unlistedErrors || this.#findings.some((finding) => finding.severity === 'error');
  }

  /** The text of a file that is named at a path of this one. */
  text(path: ValuePath, named: string): string | undefined {
    return this.#read(path, named, (absolute) => this.#cache.read(absolute))?.text;
  }

  /** The octets of a file that is named at a path of this one. */
  bytes(path: ValuePath, named: string): Buffer | undefined {
    return this.#read(path, named, (absolute) => this.#cache.readBytes(absolute))?.bytes;
  }

  #read<T>(path: ValuePath, named: string, read: (absolute: string) => Result<T, string>): T | undefined {
    const absolute = this.resolve(named);
    this.dependents.add(absolute);
    const content = read(absolute);
    if (content.ok) return content.value;
    const where = named === absolute ? '' : `, which is ${absolute},`;
    this.report({ path }, `the file ${named}${where} ${content.error}`, 'correct the path, or make the file readable');
    return undefined;
  }

  /** A secret that a file holds and nothing else, without the line break at its end. No finding repeats it. */
  secret(path: ValuePath, named: string): string | undefined {
    const text = this.text(path, named);
    if (text === undefined) return undefined;
    const secret = text.replace(/\r?\n$/, '');
    if (/^[\x20-\x7e]{1,1024}$/.test(secret)) return secret;
    const message = `${named} does not hold a secret: 1 to 1024 printable ASCII characters on one line`;
    this.report({ path }, message, 'write the secret into it, and nothing else');
    return undefined;
  }

  /** Reports problems of a named file; returns whether there is no error among them. */
  reportFile(path: ValuePath, named: string, problems: readonly FileProblem[]): boolean {
    for (const { message, fix, severity } of problems) this.report({ path }, `${named} ${message}`, fix, severity);
    return problems.every((problem) => problem.severity === 'warning');
  }

  /** The certificates of a file, with its text. */
  certificates(path: ValuePath, named: string): { pem: string; certificates: readonly X509Certificate[] } | undefined {
    const pem = this.text(path, named);
    if (pem === undefined) return undefined;
    const parsed = parseCertificates(pem);
    if (parsed.ok) return { pem, certificates: parsed.value };
    this.reportFile(path, named, [parsed.error]);
    return undefined;
  }

  /** A file of CA certificates. Of several, some may have expired: that is how a CA is replaced. */
  authorities(path: ValuePath, named: string): { pem: string; certificates: readonly X509Certificate[] } | undefined {
    const file = this.certificates(path, named);
    if (file === undefined || !this.reportFile(path, named, judgeAuthorities(file.certificates))) return undefined;
    const longest = file.certificates.toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())[0];
    if (longest !== undefined) this.#lives(path, named, longest);
    return file;
  }

  /** The CAs of a tenant's clients. */
  clientAuthorities(path: ValuePath, named: string): ReturnType<FileScope['authorities']> {
    const file = this.authorities(path, named);
    const isStrong = file !== undefined && this.reportFile(path, named, judgeClientAuthorities(file.certificates));
    return isStrong ? file : undefined;
  }

  /** Whether a revocation list is older than one that was read from the same file before; remembers the newer one. */
  isOlderList(named: string, list: RevocationList): boolean {
    return this.#cache.isOlderList(this.resolve(named), list);
  }

  /** Whether a document may be fetched from a URL, as far as the URL tells. */
  fetches(path: ValuePath, url: string, allowHttp = false): boolean {
    const parsed = parseFetchedUrl(url, allowHttp);
    if (!parsed.ok) this.report({ path }, parsed.error.message, parsed.error.fix);
    else if (parsed.value !== undefined) this.fetched.push({ path, address: parsed.value });
    return parsed.ok;
  }

  /**
   * What the Workload API gives by a name that is used at a path of this file; undefined when it gives nothing, which is reported, or has
   * not been asked.
   */
  workloadText(path: ValuePath, name: string): string | undefined {
    this.dependents.add(name);
    const text = this.#cache.readWorkload(name);
    if (text === undefined || text.ok) return text?.value;
    // Not the operator's mistake alone, and it may come any moment: whoever needs it has to wait, and nobody else.
    this.report(
      { path },
      text.error,
      'register it where the Workload API takes it from, or correct the name',
      'warning',
    );
    return undefined;
  }

  /** A certificate chain and its key, which fit each other. */
  keyPair(chainFile: NamedFile, keyFile: NamedFile): { pair: KeyPairPem; leaf: X509Certificate } | undefined {
    const chain = this.certificates(chainFile.path, chainFile.named);
    const keyPem = this.text(keyFile.path, keyFile.named);
    const key = keyPem === undefined ? undefined : parsePrivateKey(keyPem);
    if (key !== undefined && !key.ok) this.reportFile(keyFile.path, keyFile.named, [key.error]);
    const leaf = chain?.certificates[0];
    if (chain === undefined || leaf === undefined) return undefined;
    for (const certificate of chain.certificates) this.#lives(chainFile.path, chainFile.named, certificate);
    if (keyPem === undefined || key === undefined || !key.ok) return undefined;
    const problems = judgeKeyPair(chain.certificates, key.value);
    const chainGood = this.reportFile(chainFile.path, chainFile.named, problems.chain);
    const keyGood = this.reportFile(keyFile.path, keyFile.named, problems.key);
    return chainGood && keyGood ? { pair: { chainPem: chain.pem, keyPem }, leaf } : undefined;
  }

  /** Reports the server names that a certificate is not for. */
  servesNames(
    path: ValuePath,
    named: string,
    leaf: X509Certificate,
    serverNames: readonly string[],
    namesPath: ValuePath,
  ): void {
    this.reportFile(path, named, judgeServerUse(leaf));
    for (const [index, serverName] of serverNames.entries()) {
      if (covers(leaf, serverName)) continue;
      const message = `${serverName} is not among the names of the certificate ${named} (${namesOf(leaf)})`;
      this.report(
        { path: [...namesPath, index] },
        message,
        'issue the certificate with this name as a DNS SAN, or remove the name',
      );
    }
  }

  /** SHA-256 (hex) over this file, every file that it names, and what records call it. */
  digest(displayFile: string): string {
    const hash = createHash('sha256').update(`${displayFile}\0`).update(this.document.text);
    for (const path of [...this.dependents].sort()) hash.update(`\0${path}\0${this.#cache.revision(path)}`);
    return hash.digest('hex');
  }

  /** A revocation list that holds for so long. */
  listLives(path: ValuePath, file: string, issuer: string, notBeforeMs: number, notAfterMs: number): void {
    this.validities.push({ path, file, validity: { subject: issuer, notBeforeMs, notAfterMs, isList: true } });
  }

  #lives(path: ValuePath, file: string, certificate: X509Certificate): void {
    this.validities.push({ path, file, validity: validityOf(certificate) });
  }
}

/** A file, and the place that names it. */
export interface NamedFile {
  readonly path: ValuePath;
  readonly named: string;
}
