import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { CliIo } from '../../../src/cli/io.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { jsonSchema } from '../../../src/config/json-schema.ts';
import { runCli } from '../../fakes/cli.ts';

const silent: CliIo = { out: () => undefined, err: () => undefined, exit: () => undefined, colours: false };
const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

/** Every command, with the commands under it: `config schema`. */
function commands(): readonly string[] {
  return createProgram(silent).commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((inner) => `${command.name()} ${inner.name()}`),
  );
}

describe('help', () => {
  test('of the program lists every command and has examples', async () => {
    const { code, out } = await runCli(['--help']);
    expect(code).toBe(0);
    for (const name of commands()) expect(out).toContain(`\n  ${name.split(' ')[0]}`);
    expect(out).toContain('Examples:\n  $ bulkhead check --config');
  });

  test.each(commands())('of %s has an example', async (name) => {
    const { code, out } = await runCli([...name.split(' '), '--help']);
    expect(code).toBe(0);
    expect(out.split(/Examples?:\n/)[1]).toContain(`bulkhead ${name}`);
  });
});

describe('version', () => {
  test('is package.json’s, and tells the Node.js that runs it', async () => {
    const { out } = await runCli(['version', '--json']);
    expect(JSON.parse(out)).toMatchObject({
      bulkhead: expect.anything(),
      node: process.versions.node,
      openssl: process.versions.openssl,
    });
    expect(manifest).toMatchObject({ version: JSON.parse(out).bulkhead });
    expect((await runCli(['version'])).out).toMatch(/^bulkhead \d+\.\d+\.\d+ \(Node\.js \d+/);
    expect((await runCli(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('config schema', () => {
  test.each([
    ['main', []],
    ['tenant', ['--tenant']],
  ] as const)('prints the schema of the %s file', async (kind, options) => {
    const { code, out } = await runCli(['config', 'schema', ...options]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(jsonSchema(kind));
  });
});

describe('wrong arguments', () => {
  test('a misspelt command gets a suggestion and exit code 1', async () => {
    const { code, out, err } = await runCli(['chekc']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain("unknown command 'chekc'\n(Did you mean check?)");
  });

  test('a misspelt option gets a suggestion and exit code 1', async () => {
    const { code, err } = await runCli(['check', '--config', 'x', '--jsn']);
    expect(code).toBe(1);
    expect(err).toContain("unknown option '--jsn'\n(Did you mean --json?)");
  });

  test('a superfluous argument is refused', async () => {
    const { code, err } = await runCli(['version', 'please']);
    expect(code).toBe(1);
    expect(err).toContain('too many arguments');
  });
});
