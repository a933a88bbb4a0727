/**
 * `bulkhead explain`: why a call is let through or refused, and what would change that. Decided by the checks of the sidecar itself.
 */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { type Command, InvalidArgumentError } from 'commander';
import { readRecords } from '../audit/reader.ts';
import type { CallRecord } from '../audit/record.ts';
import { canonicalClaimPath } from '../authn/claim-path.ts';
import type { Generation } from '../config/generation.ts';
import { ConfigurationLoader } from '../config/load.ts';
import { systemClock } from '../kernel/clock.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { CertificateCredential, Credentials } from '../proxy/explain/question.ts';
import { explanationText, recordedText } from './explanation-text.ts';
import { printFindings } from './findings.ts';
import type { CliIo } from './io.ts';

interface ExplainOptions {
  readonly config: string;
  readonly tenant?: string;
  readonly method?: string;
  readonly model?: string;
  readonly modelVersion?: string;
  readonly token?: string;
  readonly apiKeyFile?: string;
  readonly cert?: string;
  readonly subject?: string;
  readonly scope?: string;
  readonly claim?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly serverName?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly address?: string;
  readonly at?: EpochMicros;
  readonly record?: string;
  readonly audit?: string;
  readonly json?: true;
}

/** Adds `explain` to the program. */
export function registerExplain(program: Command, io: CliIo): void {
  program
    .command('explain')
    .description('say why a call is let through or refused, by which rule, and what would change that')
    .requiredOption('-c, --config <file>', 'main configuration file; tenants are read from the directory it names')
    .option('--tenant <id>', 'tenant whose server name the client connects to')
    .option('--method <name>', 'ModelInfer, or package.Service/Method')
    .option('--model <name>', 'model that the request names')
    .option('--model-version <version>', 'version that the request names')
    .option('--token <file>', 'file with a bearer token, - for standard input; verified as a call’s')
    .option(
      '--api-key-file <file>',
      'file with an API key (bk_<id>_<secret>), - for standard input; verified as a call’s',
    )
    .option('--cert <file>', 'PEM file with the client’s certificate and its intermediates; verified as a call’s')
    .option('--subject <name>', 'instead of --token: assume a valid token of this subject')
    .option('--scope <scopes>', 'scopes of the assumed token, separated by spaces')
    .option('--claim <path=value>', 'a claim of the assumed token, as JSON or as text; may be repeated', collectClaim)
    .option('--metadata <name=value>', 'a request header; may be repeated', collectHeader)
    .option('--server-name <name>', 'server name that the client connects to; default: the tenant’s first')
    .option('--key <id>', 'instead of --api-key-file: assume the right secret of this API key')
    .option('--certificate <name>', 'instead of --cert: assume a valid certificate of spiffe://… or dns:…')
    .option('--address <ip>', 'IP address that the client connects from; default: 127.0.0.1', parseIp)
    .option('--at <time>', 'decide as of this time, 2026-11-23T10:00:00Z; default: now', parseTime)
    .option(
      '--record <id>',
      'explain a call on record: its trace id, or writer/segment/number as `audit show` prints it',
    )
    .option('--audit <directory>', 'where the audit log is; default: the configuration’s audit.directory')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
The gates are those of the sidecar, in its order. Without --cert and --certificate a valid client certificate is assumed that
no binding names. Key sets by URL are fetched, as for a call. Quota is decided with full buckets. Secrets are read from files or
standard input, never from arguments, and are never printed.

A record holds no credentials: those of its caller are assumed to be valid. The certificate of a caller with a token or a key is
not on record by its name; --cert or --certificate says which it was.

Exit code: 0 the call is allowed, 1 it is denied, 2 the question could not be asked.

Examples:
  $ bulkhead explain -c bulkhead.yaml --tenant acme --method ModelInfer --model fraud --token token.jwt --cert client.pem
  $ bulkhead explain -c bulkhead.yaml --tenant acme --method ModelInfer --model fraud --subject alice
  $ bulkhead explain -c bulkhead.yaml --record worker-0/1/42
  $ bulkhead explain -c bulkhead.yaml --record 4bf92f3577b34da6a3ce929d0e0e4736 --json | jq .comparison`,
    )
    .action(async (options: ExplainOptions) => {
      const explained = await explainCall(options, io);
      if (explained.ok) return;
      if (explained.error !== '') io.err(`${explained.error}\n`);
      io.exit(2);
    });
}

/** An empty error: it has been printed. */
async function explainCall(options: ExplainOptions, io: CliIo): Promise<Result<undefined, string>> {
  const misuse = misuseOf(options);
  if (misuse !== undefined) return err(misuse);
  const loaded = await new ConfigurationLoader().load(options.config, undefined);
  if (!loaded.ok) {
    printFindings(
      loaded.error.filter(({ severity }) => severity === 'error'),
      io,
    );
    return err('');
  }
  const now = options.at ?? systemClock.now();
  return options.record === undefined
    ? await explainQuestion(options, loaded.value, now, io)
    : await explainRecorded(options, options.record, loaded.value, now, io);
}

function misuseOf(options: ExplainOptions): string | undefined {
  const { record, tenant, method, token, apiKeyFile, subject, scope, key, cert, certificate } = options;
  if (record === undefined && (tenant === undefined || method === undefined)) {
    return 'name --tenant and --method, or a --record (bulkhead explain --help says more)';
  }
  const asked = [
    tenant,
    method,
    options.model,
    options.modelVersion,
    options.address,
    token,
    apiKeyFile,
    subject,
    scope,
    options.claim,
    options.metadata,
    options.serverName,
    key,
  ];
  if (record !== undefined && asked.some((option) => option !== undefined)) {
    return 'a --record says itself who called what: besides it, only --cert or --certificate';
  }
  if (record === undefined && options.audit !== undefined) return '--audit goes with --record';
  if (token !== undefined && subject !== undefined) return 'either --token or --subject';
  if (scope !== undefined && subject === undefined) return '--scope goes with --subject: a token says its own';
  if (options.claim !== undefined && subject === undefined) return '--claim goes with --subject: a token says its own';
  if (apiKeyFile !== undefined && key !== undefined) return 'either --api-key-file or --key';
  if (cert !== undefined && certificate !== undefined) return 'either --cert or --certificate';
  if (token === '-' && apiKeyFile === '-') return 'only one of --token and --api-key-file can be standard input';
  return undefined;
}

async function explainQuestion(
  options: ExplainOptions,
  generation: Generation,
  now: EpochMicros,
  io: CliIo,
): Promise<Result<undefined, string>> {
  const credentials = await credentialsOf(options);
  if (!credentials.ok) return credentials;
  const { explain } = await import('../proxy/explain/explanation.ts');
  const { tenant = '', method = '', model, modelVersion } = options;
  const { address, serverName, metadata } = options;
  const from = {
    ...(address === undefined ? {} : { address }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(metadata === undefined ? {} : { metadata }),
  };
  const question = { tenant, method, model, modelVersion, credentials: credentials.value, ...from, now };
  const explained = await explain(generation, question);
  if (!explained.ok) return explained;
  io.out(options.json === true ? `${JSON.stringify(explained.value, null, 2)}\n` : explanationText(explained.value));
  io.exit(explained.value.verdict === 'allowed' ? 0 : 1);
  return ok(undefined);
}

async function explainRecorded(
  options: ExplainOptions,
  id: string,
  generation: Generation,
  now: EpochMicros,
  io: CliIo,
): Promise<Result<undefined, string>> {
  const certificate = await certificateOf(options);
  if (!certificate.ok) return certificate;
  const given = options.cert === undefined && options.certificate === undefined ? undefined : certificate.value;
  const record = await findRecord(options.audit ?? generation.audit.directory, id);
  if (!record.ok) return record;
  const { decisionOf, explainRecord } = await import('../proxy/explain/recorded.ts');
  const explained = await explainRecord(generation, record.value, given, now);
  const recorded = decisionOf(record.value);
  if (!explained.ok) {
    io.out(options.json === true ? `${JSON.stringify({ recorded }, null, 2)}\n` : recordedText(recorded, record.value));
    return explained;
  }
  const { present, comparison } = explained.value;
  if (options.json === true) io.out(`${JSON.stringify(explained.value, null, 2)}\n`);
  else io.out(`${recordedText(recorded, record.value)}\nnow: ${explanationText(present)}\n${comparison}\n`);
  io.exit(present.verdict === 'allowed' ? 0 : 1);
  return ok(undefined);
}

async function credentialsOf(options: ExplainOptions): Promise<Result<Credentials, string>> {
  const certificate = await certificateOf(options);
  if (!certificate.ok) return certificate;
  const token = options.token === undefined ? ok(undefined) : await readSecret(options.token);
  if (!token.ok) return token;
  const apiKey = options.apiKeyFile === undefined ? ok(undefined) : await readSecret(options.apiKeyFile);
  if (!apiKey.ok) return apiKey;
  const { subject, scope, claim, key } = options;
  return ok({
    certificate: certificate.value,
    token:
      token.value !== undefined
        ? { kind: 'presented', text: token.value }
        : subject === undefined
          ? undefined
          : {
              kind: 'assumed' as const,
              subject,
              ...(scope === undefined ? {} : { scope }),
              ...(claim === undefined ? {} : { claims: claim }),
            },
    apiKey:
      apiKey.value !== undefined
        ? { kind: 'presented', text: apiKey.value }
        : key === undefined
          ? undefined
          : { kind: 'assumed', id: key },
  });
}

async function certificateOf({ cert, certificate }: ExplainOptions): Promise<Result<CertificateCredential, string>> {
  if (cert === undefined) return ok({ kind: 'assumed', name: certificate });
  const pem = await readSecret(cert);
  return pem.ok ? ok({ kind: 'presented', pem: pem.value }) : pem;
}

/** A file’s text without the line end that editors add. */
async function readSecret(file: string): Promise<Result<string, string>> {
  try {
    return ok((file === '-' ? await readText(process.stdin) : await readFile(file, 'utf8')).trimEnd());
  } catch (cause) {
    return err(`cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function findRecord(directory: string, id: string): Promise<Result<CallRecord, string>> {
  const found: { readonly place: string; readonly record: CallRecord }[] = [];
  try {
    for await (const item of readRecords(directory, {})) {
      if (!('record' in item)) continue;
      const { record } = item;
      const place = `${item.writer}/${item.segment}/${item.number}`;
      if (record.type === 'call' && (record.traceId === id.toLowerCase() || place === id))
        found.push({ place, record });
      else if (place === id) return err(`${id} is no call: there is nothing to explain`);
    }
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    return err(cause.message);
  }
  const [first, ...more] = found;
  if (first === undefined) return err(`${directory} has no record ${id} (a trace id, or writer/segment/number)`);
  if (more.length === 0) return ok(first.record);
  return err(`several calls have the trace id ${id}; name one: ${found.map(({ place }) => place).join(', ')}`);
}

/** `groups=["ml"]`, `department=research`: JSON where it is JSON, else text. */
function collectClaim(text: string, before: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const [path, value] = pairOf(text);
  if (canonicalClaimPath(path) === undefined) throw new InvalidArgumentError(`${path} is no path of a claim.`);
  try {
    return { ...before, [path]: JSON.parse(value) };
  } catch {
    return { ...before, [path]: value };
  }
}

function collectHeader(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [name, value] = pairOf(text);
  if (!/^[A-Za-z0-9-]+$/.test(name)) throw new InvalidArgumentError(`${name} is no header’s name.`);
  return { ...before, [name.toLowerCase()]: value };
}

function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('Not a pair such as name=value.');
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseIp(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('Not an IP address such as 192.0.2.1.');
  return text;
}

function parseTime(text: string): EpochMicros {
  const at = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('Not a time such as 2026-11-23T10:00:00Z.');
  // Milliseconds to the kernel's microseconds.
  return (at * 1_000) as EpochMicros;
}
