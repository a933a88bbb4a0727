/**
 * What `bulkhead keys create`, `rotate` and `revoke` do to a tenant's file.
 */
import { newSecret } from '../../authn/api-key-secret.ts';
import { printJson, timeText } from '../certificates/report.ts';
import type { CliIo } from '../io.ts';
import { sayProblem, TenantFile } from './tenant-file.ts';

const DAY_MS = 86_400_000;
/** A key that somebody forgot stops by itself; a quarter is often enough to be practised in changing it. */
const DEFAULT_LIFETIME_MS = 90 * DAY_MS;
/** A day reaches every deployment that is not forgotten. */
const DEFAULT_OVERLAP_MS = DAY_MS;

export interface NewSecretOptions {
  /** Milliseconds. */
  readonly expires?: number;
  readonly json?: true;
}

export interface RotateOptions extends NewSecretOptions {
  /** Milliseconds; not said: a day. */
  readonly overlap?: number;
}

export interface CreateOptions extends Omit<NewSecretOptions, 'expires'> {
  /** Milliseconds; true: it was not said; false: never. */
  readonly expires: number | boolean;
  readonly scope?: readonly string[];
  readonly model?: readonly string[];
}

/** Makes a key, prints it, and writes its hash. */
export function create(name: string, id: string, options: CreateOptions, io: CliIo): void {
  const file = TenantFile.read(name);
  if (!file.ok) return sayProblem(io, file.error);
  if (file.value.find(id).ok) {
    const fix = 'choose another id, or give it a new secret: bulkhead keys rotate';
    return sayProblem(io, { message: `${name} has an API key ${id} already`, fix, exitCode: 1 });
  }
  const secret = newSecret(id);
  const expires = endOf(options.expires, Date.now());
  const { scope: scopes, model: models } = options;
  const written = file.value.write(undefined, {
    id,
    sha256: secret.sha256,
    ...(expires === undefined ? {} : { expires }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(models === undefined ? {} : { models }),
  });
  if (!written.ok) return sayProblem(io, written.error);
  const facts = { tenant: file.value.tenant, id, key: secret.key, expires: expires ?? null };
  if (options.json === true) {
    const narrowed = models === undefined ? {} : { models };
    return printJson(io, { ...facts, ...(scopes === undefined ? {} : { scopes }), ...narrowed });
  }
  io.out(`${secret.key}\n`);
  io.err(
    `API key ${id} of tenant ${file.value.tenant}, ${endText(expires)}. It is shown this once.\n` +
      `It may do what a binding gives it: name it under \`bindings\` in ${name}.\n`,
  );
}

/** Gives a key another secret. */
export function rotate(name: string, id: string, options: RotateOptions, io: CliIo): void {
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
  const previousEndMs = Math.min(
    now + (options.overlap ?? DEFAULT_OVERLAP_MS),
    (key.expires ?? Number.POSITIVE_INFINITY) * 1000,
  );
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

/** Has a key refused from now on. */
export function revoke(name: string, id: string, json: true | undefined, io: CliIo): void {
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
