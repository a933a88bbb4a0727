/**
 * A tenant's file as the commands of `bulkhead keys` read and change it.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { YamlDocument } from '../../config/document.ts';
import { editKeys, type KeyFields } from '../../config/key-edit.ts';
import { checkSchema } from '../../config/schema-check.ts';
import { type TenantSource, tenantSchema } from '../../config/schema-tenant.ts';
import { err, ok, type Result } from '../../kernel/result.ts';
import { writeFileDurably } from '../../pki/files.ts';
import type { CliIo } from '../io.ts';

/** Why a command is not done, and what would be right. */
export interface KeysProblem {
  readonly message: string;
  readonly fix: string;
  /** 1: what was asked for cannot be done. 2: the file cannot be read or written. */
  readonly exitCode: 1 | 2;
}

/** An API key as its file has it. */
export type WrittenKey = TenantSource['apiKeys'][number];

export class TenantFile {
  /** As it was named. */
  readonly name: string;
  readonly tenant: string;
  readonly keys: readonly WrittenKey[];
  readonly #path: string;
  readonly #text: string;

  private constructor(name: string, path: string, text: string, source: TenantSource) {
    this.name = name;
    this.tenant = source.tenant;
    this.keys = source.apiKeys;
    this.#path = path;
    this.#text = text;
  }

  /** Reads a file whose every word is in its place; the files that it names are not looked at. */
  static read(name: string): Result<TenantFile, KeysProblem> {
    let path: string;
    let text: string;
    try {
      // What a link points to is changed, and the link stays.
      path = realpathSync(name);
      text = readFileSync(path, 'utf8');
    } catch (error) {
      return err(systemProblem(error, 'name the file of a tenant'));
    }
    const { value, findings } = checkSchema(new YamlDocument(name, text), tenantSchema, 'tenant');
    if (value !== undefined) return ok(new TenantFile(name, path, text, value));
    const [first] = findings;
    const place = first === undefined ? name : `${name}:${first.line}:${first.column} ${first.path}`.trimEnd();
    const message = `${place} ${first?.message ?? 'is not the file of a tenant'}`;
    return err({ message, fix: first?.fix ?? 'name the file of a tenant', exitCode: 2 });
  }

  /** Where a key stands. */
  find(id: string): Result<{ readonly key: WrittenKey; readonly index: number }, KeysProblem> {
    const index = this.keys.findIndex((key) => key.id === id);
    const key = this.keys[index];
    if (key !== undefined) return ok({ key, index });
    const fix = `\`bulkhead keys list ${this.name}\` names those that there are`;
    return err({ message: `${this.name} has no API key ${id}`, fix, exitCode: 1 });
  }

  /** Writes a new key (`index` undefined), or members of one. The file changes in one step, and only when the result is a tenant's file. */
  write(index: number | undefined, fields: KeyFields): Result<undefined, KeysProblem> {
    const edited = editKeys(this.#text, index, fields);
    const { value, findings } = checkSchema(new YamlDocument(this.name, edited), tenantSchema, 'tenant');
    if (value === undefined) {
      const [first] = findings;
      return err({ message: first?.message ?? 'it would be no tenant’s file', fix: first?.fix ?? '', exitCode: 1 });
    }
    try {
      if (readFileSync(this.#path, 'utf8') !== this.#text) {
        const fix = 'run the command again: nothing was written';
        return err({ message: `${this.name} was changed by somebody else meanwhile`, fix, exitCode: 1 });
      }
      writeFileDurably(this.#path, edited, statSync(this.#path).mode & 0o777);
    } catch (error) {
      return err(systemProblem(error, 'let the command write this file and its directory'));
    }
    return ok(undefined);
  }
}

/** Says what was wrong, and sets the exit code. */
export function sayProblem(io: CliIo, { message, fix, exitCode }: KeysProblem): void {
  io.err(`error: ${message}\n  fix: ${fix}\n`);
  io.exit(exitCode);
}

function systemProblem(error: unknown, fix: string): KeysProblem {
  if (!(error instanceof Error && 'syscall' in error)) throw error;
  return { message: error.message, fix, exitCode: 2 };
}
