import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
let folder = '';

/** Lints one file with the project's own rules, as if it stood at `path`. */
function lint(path: string, text: string): { readonly passes: boolean; readonly output: string } {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  try {
    const output = execFileSync(join(root, 'node_modules/.bin/oxlint'), ['--deny-warnings', path], {
      cwd: folder,
      encoding: 'utf8',
    });
    return { passes: true, output };
  } catch (error) {
    const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error);
    return { passes: false, output };
  } finally {
    rmSync(file);
  }
}

describe('the import rules of the layers', () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'bulkhead-layers-'));
    copyFileSync(join(root, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const breaches: readonly (readonly [string, string])[] = [
    ['src/http2/breach.ts', "import { Call } from '../proxy/call.ts';\nexport const breach = Call;\n"],
    ['src/http2/breach.ts', "import { deny } from '../grpc/status.ts';\nexport const breach = deny;\n"],
    ['src/kernel/breach.ts', "import { load } from '../config/load.ts';\nexport const breach = load;\n"],
    ['src/authz/breach.ts', "import { Call } from '../proxy/call.ts';\nexport const breach = Call;\n"],
    ['src/conditions/breach.ts', "import { load } from '../config/load.ts';\nexport const breach = load;\n"],
    ['src/authz/breach.ts', "import { parse } from '@marcbachmann/cel-js';\nexport const breach = parse;\n"],
    [
      'src/authn/breach.ts',
      "import { conditionsOf } from '../conditions/condition.ts';\nexport const breach = conditionsOf;\n",
    ],
    ['src/authz/breach.ts', "import { jwtVerify } from 'jose';\nexport const breach = jwtVerify;\n"],
    ['src/quota/breach.ts', "import { trace } from '@opentelemetry/api';\nexport const breach = trace;\n"],
    ['src/authn/breach.ts', "import forge from 'node-forge';\nexport const breach = forge;\n"],
    ['src/http2/breach.ts', "import { Server } from '@grpc/grpc-js';\nexport const breach = Server;\n"],
    ['src/proxy/breach.ts', "import { pki } from '../../test/fakes/pki.ts';\nexport const breach = pki;\n"],
    ['src/proxy/breach.ts', "import { revoke } from '../pki/revoking.ts';\nexport const breach = revoke;\n"],
    ['src/fetching/breach.ts', "import { load } from '../config/load.ts';\nexport const breach = load;\n"],
    [
      'src/authz/breach.ts',
      "import { DocumentFetcher } from '../fetching/document-fetch.ts';\nexport const breach = DocumentFetcher;\n",
    ],
    ['src/pki/breach.ts', "import { load } from '../config/load.ts';\nexport const breach = load;\n"],
    ['src/pki/breach.ts', "import forge from 'node-forge';\nexport const breach = forge;\n"],
    ['src/quota/breach.ts', 'export const breach = (): number => Date.now();\n'],
  ];
  it.each(breaches)('refuse %s with %j', (path, text) => {
    const verdict = lint(path, text);
    expect(verdict.output).toMatch(/no-restricted-(imports|globals)/);
    expect(verdict.passes).toBe(false);
  });

  it('let a domain import the kernel', () => {
    const verdict = lint(
      'src/authz/fine.ts',
      "import { deny } from '../kernel/denial.ts';\nexport const fine = deny;\n",
    );
    expect(verdict.output).not.toMatch(/no-restricted/);
    expect(verdict.passes).toBe(true);
  });
});
