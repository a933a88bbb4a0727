import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { write as append, openLog } from '../../fakes/audit-logs.ts';
import { callRecord } from '../../fakes/audit-records.ts';
import { runCli } from '../../fakes/cli.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';
import { FakeIssuer } from '../../fakes/tokens.ts';

let directory = '';
let mainFile = '';
const issuer = new FakeIssuer('https://login.acme.test');

beforeEach(() => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
  write(join(directory, 'jwks/acme.json'), issuer.jwks());
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const explain = (...more: readonly string[]) => runCli(['explain', '--config', mainFile, ...more]);
const infer = (...more: readonly string[]) => explain('--tenant', 'acme', '--method', 'ModelInfer', ...more);
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('bulkhead explain', () => {
  test('of an allowed call prints each gate with its rule, with exit code 0', async () => {
    const { code, out } = await infer(
      '--model',
      'fraud-1',
      '--subject',
      'alice',
      '--certificate',
      'spiffe://acme.example/a',
    );
    expect(out).toBe(`allowed: token:alice of acme, inference.GRPCInferenceService/ModelInfer for model fraud-1

  pass         identify      tenants/acme.yaml:6 clientCa                       certificate spiffe://acme.example/a
  pass         authenticate  tenants/acme.yaml:9 issuers[0]                     token:alice
  pass         authorize     tenants/acme.yaml:23 bindings[0] → role predictor  inference.GRPCInferenceService/ModelInfer
  pass         reserve       tenants/acme.yaml:26 quota                         tenant 100/s, burst 200 (what is left of it now is not asked)
  pass         inspect       tenants/acme.yaml:23 bindings[0] → role predictor  model fraud-1, version latest

assumed: a valid client certificate of spiffe://acme.example/a
assumed: a valid token of https://login.acme.test for alice, without scopes
`);
    expect(code).toBe(0);
  });

  test('of a refused call prints what the caller sees, why, and what would allow it, with exit code 1', async () => {
    const { code, out } = await infer('--model', 'digits', '--subject', 'alice');
    expect(code).toBe(1);
    expect(out).toContain('  deny         inspect       tenants/acme.yaml:23 bindings[0] → role predictor');
    expect(out).toContain(`
the caller sees: PERMISSION_DENIED, MODEL_ACCESS_DENIED, "the caller may not use this model with this method"
why: no role of token:alice has inference.GRPCInferenceService/ModelInfer for model digits (role \`predictor\` (tenants/acme.yaml:19) is for models fraud-*)
what would have allowed it:
  - add digits to the models of role \`predictor\` (tenants/acme.yaml:19)
`);
  });

  test('as JSON prints the same', async () => {
    const { code, out } = await infer('--model', 'digits', '--subject', 'alice', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      verdict: 'denied',
      caller: 'token:alice',
      refusal: { kind: 'model_denied', status: 'PERMISSION_DENIED' },
    });
  });

  test('verifies a token from a file, as of the time it is told, and never prints it', async () => {
    const text = issuer.token();
    const token = file('token.jwt', `${text}\n`);
    const then = await infer('--model', 'fraud-1', '--token', token, '--at', '2026-01-01T00:10:00Z');
    expect(then).toMatchObject({ code: 0, err: '' });
    const later = await infer('--model', 'fraud-1', '--token', token, '--at', '2026-01-02T00:00:00Z');
    expect(later.code).toBe(1);
    expect(later.out).toContain('TOKEN_EXPIRED');
    for (const { out, err } of [then, later]) expect(out + err).not.toContain(text.slice(-30));
  });

  test('verifies an API key from a file, and never prints its secret', async () => {
    const key = file('key', 'bk_batch_not-the-secret\n');
    const { code, out } = await infer('--model', 'fraud-1', '--api-key-file', key);
    expect(code).toBe(1);
    expect(out).toContain('why: the API key is not valid: wrong_secret');
    expect(out).not.toContain('not-the-secret');
    expect(await infer('--model', 'fraud-1', '--key', 'batch')).toMatchObject({ code: 0 });
  });

  test('decides as of the address that it is told, and takes none that is none', async () => {
    edit(join(directory, 'tenants/acme.yaml'), 'trustDomain:', 'addresses: [192.0.2.0/24]\ntrustDomain:');
    const from = (address: string) => infer('--model', 'fraud-1', '--subject', 'alice', '--address', address);
    expect((await from('192.0.2.7')).code).toBe(0);
    expect(await from('10.0.0.1')).toMatchObject({ code: 1, out: expect.stringContaining('IP_NOT_ALLOWED') });
    expect(await from('nowhere')).toMatchObject({ out: '', err: expect.stringContaining('Not an IP address') });
  });

  test('what a caller may choose cannot move the terminal’s cursor', async () => {
    const { out } = await infer('--model', 'x\u001b[2J\ny', '--subject', 'alice');
    expect(out).toContain('for model x\\u{1b}[2J\\u{a}y');
  });

  test('cannot ask about what does not go together, with exit code 2', async () => {
    const cases = [
      [['--tenant', 'acme'], 'name --tenant and --method, or a --record'],
      [['--tenant', 'acme', '--method', 'ModelInfer', '--token', 'a', '--subject', 'b'], 'either --token or --subject'],
      [['--tenant', 'acme', '--method', 'M', '--key', 'a', '--api-key-file', 'b'], 'either --api-key-file or --key'],
      [['--tenant', 'acme', '--method', 'M', '--cert', 'a', '--certificate', 'b'], 'either --cert or --certificate'],
      [['--tenant', 'acme', '--method', 'M', '--scope', 'a'], '--scope goes with --subject'],
      [['--tenant', 'acme', '--method', 'M', '--audit', 'a'], '--audit goes with --record'],
      [['--tenant', 'acme', '--method', 'M', '--token', '-', '--api-key-file', '-'], 'only one of'],
      [['--record', 'a', '--tenant', 'acme'], 'a --record says itself who called what'],
      [['--record', 'a', '--address', '::1'], 'a --record says itself who called what'],
      [['--tenant', 'acne', '--method', 'ModelInfer'], 'there is no tenant acne; there are: acme'],
      [['--tenant', 'acme', '--method', 'ModelInfer', '--token', '/nowhere'], 'cannot read /nowhere'],
      [['--record', 'worker-0/1/9'], 'ENOENT'],
    ] as const;
    for (const [args, message] of cases) {
      const { code, out, err } = await explain(...args);
      expect({ code, out }, message).toEqual({ code: 2, out: '' });
      expect(err).toContain(message);
    }
  });

  test('of a configuration that is not good prints what is wrong with it, with exit code 2', async () => {
    edit(join(directory, 'tenants/acme.yaml'), '1MiB', '1MB');
    const { code, out } = await infer('--subject', 'alice');
    expect(code).toBe(2);
    expect(out).toContain('tenants/acme.yaml:28:14 byteAccount: error');
  });

  test('its help has examples and exit codes', async () => {
    const { out } = await runCli(['explain', '--help']);
    expect(out).toMatch(/Exit code: 0 the call is allowed, 1 it is denied, 2/);
    expect(out).toContain('$ bulkhead explain -c bulkhead.yaml --record worker-0/1/42');
  });
});

describe('of a call on record', () => {
  const refused = callRecord({
    caller: 'token:alice',
    model: 'digits',
    modelVersion: '',
    outcome: 'denied',
    grpcStatus: 7,
    reason: 'model_denied',
    rule: 'tenants/acme.yaml:23 bindings[0] → role predictor',
    detail: 'model=digits',
    gates: [{ gate: 'inspect', fromMicros: 0, toMicros: 1, verdict: 'deny' }],
    generation: 3,
  });

  function log(...records: readonly Parameters<typeof append>[1][]): string {
    const audit = join(directory, 'audit');
    const written = openLog(audit);
    append(written, ...records);
    written.close();
    return audit;
  }

  test('it prints what was decided then, what is decided now, and that they agree', async () => {
    log(callRecord({ traceId: 'a'.repeat(32) }), refused);
    for (const id of ['worker-0/1/2', refused.traceId, refused.traceId.toUpperCase()]) {
      const { code, out, err } = await explain('--record', id);
      expect(err).toBe('');
      expect(code).toBe(1);
      expect(out).toMatch(
        /^then: denied by inspect: token:alice of acme, inference\.GRPCInferenceService\/ModelInfer for model digits\n {2}2026-11-23T10:00:00\.000Z, generation 3, PERMISSION_DENIED, trace 0af7651916cd43dd8448eb211c80319c\n {2}rule: tenants\/acme\.yaml:23 bindings\[0\] → role predictor\n {2}reason: model_denied model=digits\n\nnow: denied: token:alice/,
      );
      expect(out).toMatch(/\nthey agree: denied then and now\n$/);
    }
  });

  test('it says that they differ when the role has been widened since, from whichever directory', async () => {
    const audit = log(refused);
    edit(join(directory, 'tenants/acme.yaml'), 'models: [fraud-*]', 'models: [fraud-*, digits]');
    const { code, out } = await explain('--record', 'worker-0/1/1', '--audit', audit, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      recorded: { verdict: 'denied', generation: 3 },
      present: { verdict: 'allowed' },
      differs: true,
    });
  });

  test('of which nobody is known to have made it, it says what was decided then, with exit code 2', async () => {
    log(
      callRecord({ caller: '', outcome: 'denied', grpcStatus: 16, reason: 'token_invalid', detail: 'why=signature' }),
    );
    const { code, out, err } = await explain('--record', 'worker-0/1/1');
    expect(code).toBe(2);
    expect(out).toContain('reason: token_invalid why=signature');
    expect(err).toContain('nobody was authenticated');
  });

  test('that is not there, is no call, or is one of several, it says so', async () => {
    log(refused, refused, { type: 'event', at: refused.startedAt, event: 'start', detail: '' });
    expect((await explain('--record', 'worker-0/1/7')).err).toContain('has no record worker-0/1/7');
    expect((await explain('--record', 'worker-0/1/3')).err).toContain('is no call');
    const { code, err } = await explain('--record', refused.traceId);
    expect(code).toBe(2);
    expect(err).toContain('name one: worker-0/1/1, worker-0/1/2');
  });
});
