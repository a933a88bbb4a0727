/**
 * `bulkhead keys`: the life of a tenant's API keys, from the secret that is shown once to the day that it is taken back.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { newSecret } from '../authn/api-key-secret.ts';
import type { CliIo } from './io.ts';
import { sayProblem, TenantFile } from './keys-file.ts';
import { registerKeysList } from './keys-list.ts';
import { durationOption } from './pki-options.ts';
import { printJson, timeText } from './pki-report.ts';

const DAY_MS = 86_400_000;
/** A key that somebody forgot stops by itself; a quarter is often enough to be practised in changing it. */
const DEFAULT_LIFETIME_MS = 90 * DAY_MS;
/** A day reaches every deployment that is not forgotten. */
const DEFAULT_OVERLAP_MS = DAY_MS;

interface NewSecretOptions {
  /** Milliseconds. */
  readonly expires?: number;
  readonly json?: true;
}

interface CreateOptions extends Omit<NewSecretOptions, 'expires'> {
  /** Milliseconds; true: it was not said; false: never. */
  readonly expires: number | boolean;
  readonly scope?: readonly string[];
}

/** Adds `keys` with its commands to the program. */
export function registerKeys(program: Command, io: CliIo): void {
  const keys = program
    .command('keys')
    .description('create, rotate, revoke and list the API keys of a tenant, in its file')
    .addHelpText(
      'after',
      `
The file of the tenant is changed in place, in one step, and keeps its comments; a running sidecar takes it over by itself.
Only the hash of a secret is written there: the key is printed once, on standard output, and cannot be had again.

Exit code: 0 when it is done, 1 when it was refused, 2 when the file cannot be read or written.

Examples:
  $ bulkhead keys create tenants/acme.yaml nightly-batch
  $ bulkhead keys rotate tenants/acme.yaml nightly-batch --overlap 7d
  $ bulkhead keys revoke tenants/acme.yaml nightly-batch
  $ bulkhead keys list tenants/acme.yaml --expiring 14d`,
    );
  registerCreate(keys, io);
  registerRotate(keys, io);
  keys
    .command('revoke')
    .description('refuse a key from now on, with all its secrets; it stays in the file so that records can name it')
    .argument('<tenant-file>', 'the tenant’s YAML file')
    .argument('<id>', 'middle part of the key', keyId)
    .option('--json', 'print the result as one JSON object')
    .addHelpText('after', '\nExample:\n  $ bulkhead keys revoke tenants/acme.yaml nightly-batch')
    .action((file: string, id: string, options: { readonly json?: true }) => revoke(file, id, options.json, io));
  registerKeysList(keys, io);
}

function registerCreate(keys: Command, io: CliIo): void {
  withSecretOptions(keys.command('create'))
    .description('create a key, print it, and write its hash into the tenant’s file')
    .option('--no-expires', 'let it be good until it is revoked')
    .option('--scope <scopes...>', 'scopes that calls with it have')
    .addHelpText(
      'after',
      `
Examples:
  $ bulkhead keys create tenants/acme.yaml nightly-batch
  $ bulkhead keys create tenants/acme.yaml nightly-batch --expires 7d --scope models:infer models:read`,
    )
    .action((file: string, id: string, options: CreateOptions) => create(file, id, options, io));
}

function registerRotate(keys: Command, io: CliIo): void {
  withSecretOptions(keys.command('rotate'))
    .description('give a key a new secret, and let the one before be good for a while')
    .option('--overlap <duration>', 'how long the secret before is good', durationOption, DEFAULT_OVERLAP_MS)
    .addHelpText(
      'after',
      `
The overlap is one day unless it is said. With --overlap 0s the secret before ends at once.

Example:
  $ bulkhead keys rotate tenants/acme.yaml nightly-batch --overlap 7d`,
    )
    .action((file: string, id: string, options: NewSecretOptions & { readonly overlap: number }) =>
      rotate(file, id, options, io),
    );
}

function withSecretOptions(command: Command): Command {
  return command
    .argument('<tenant-file>', 'the tenant’s YAML file')
    .argument('<id>', 'middle part of the key: 1 to 64 letters, digits and hyphens', keyId)
    .option('--expires <duration>', 'how long the new secret is good: 90 days unless it is said', durationOption)
    .option('--json', 'print the result as one JSON object');
}

function create(name: string, id: string, options: CreateOptions, io: CliIo): void {
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  if (file.value.find(id).ok) {
    const fix = 'choose another id, or give it a new secret: bulkhead keys rotate';
    return sayProblem(io, { message: `${name} has an API key ${id} already`, fix, exitCode: 1 });
  }
  const secret = newSecret(id);
  const expires = endOf(options.expires, Date.now());
  const { scope: scopes } = options;
  const written = file.value.write(undefined, {
    id,
    sha256: secret.sha256,
    ...(expires === undefined ? {} : { expires }),
    ...(scopes === undefined ? {} : { scopes }),
  });
  if (!written.ok) return sayProblem(io, written.error);
  const facts = { tenant: file.value.tenant, id, key: secret.key, expires: expires ?? null };
  if (options.json === true) return printJson(io, { ...facts, ...(scopes === undefined ? {} : { scopes }) });
  io.out(`${secret.key}\n`);
  io.err(
    `API key ${id} of tenant ${file.value.tenant}, ${endText(expires)}. It is shown this once.\n` +
      `It may do what a binding gives it: name it under \`bindings\` in ${name}.\n`,
  );
}

function rotate(name: string, id: string, options: NewSecretOptions & { readonly overlap: number }, io: CliIo): void {
  const now = Date.now();
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  const found = file.value.find(id);
  if (!found.ok) return sayProblem(io, found.error);
  const { key, index } = found.value;
  if (key.revoked) {
    const fix = 'create another key: bulkhead keys create';
    return sayProblem(io, { message: `the API key ${id} is revoked`, fix, exitCode: 1 });
  }
  if (key.previous !== undefined && key.previous.expires * 1000 > now) {
    const fix = 'wait until then; if a secret is in wrong hands, revoke the key and create another';
    const message = `the API key ${id} has two secrets: the one before is good until ${timeText(key.previous.expires * 1000)}`;
    return sayProblem(io, { message, fix, exitCode: 1 });
  }
  const secret = newSecret(id);
  const expires = timeText(now + (options.expires ?? DEFAULT_LIFETIME_MS));
  // Its own end stays the last word.
  const previousEndMs = Math.min(now + options.overlap, (key.expires ?? Number.POSITIVE_INFINITY) * 1000);
  const previous = { sha256: key.sha256, expires: timeText(previousEndMs) };
  const written = file.value.write(index, {
    sha256: secret.sha256,
    expires,
    previous,
  });
  if (!written.ok) return sayProblem(io, written.error);
  if (options.json === true) {
    const facts = { tenant: file.value.tenant, id, key: secret.key, expires };
    return printJson(io, { ...facts, previousExpires: previous.expires });
  }
  io.out(`${secret.key}\n`);
  io.err(
    `API key ${id} of tenant ${file.value.tenant} has a new secret, ${endText(expires)}. It is shown this once.\n` +
      `The secret before is good until ${previous.expires}.\n`,
  );
}

function revoke(name: string, id: string, json: true | undefined, io: CliIo): void {
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  const found = file.value.find(id);
  if (!found.ok) return sayProblem(io, found.error);
  const already = found.value.key.revoked;
  const written = already ? undefined : file.value.write(found.value.index, { revoked: true });
  if (written?.ok === false) return sayProblem(io, written.error);
  if (json === true) return printJson(io, { tenant: file.value.tenant, id, revoked: true, already });
  io.out(`${already ? 'revoked already: ' : 'revoked '}API key ${id} of tenant ${file.value.tenant}\n`);
}

/** As the file has it; undefined: never. */
function endOf(expires: number | boolean | undefined, now: number): string | undefined {
  if (expires === false) return undefined;
  return timeText(now + (typeof expires === 'number' ? expires : DEFAULT_LIFETIME_MS));
}

function endText(expires: string | undefined): string {
  return expires === undefined ? 'good until it is revoked' : `good until ${expires}`;
}

function keyId(text: string): string {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(text)) {
    throw new InvalidArgumentError('Not an id: 1 to 64 letters, digits and hyphens.');
  }
  return text;
}
