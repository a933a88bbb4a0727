import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, eventRecord, micros, refusalRecord } from '../../fakes/audit-records.ts';
import { runCli } from '../../fakes/cli.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

let directory = '';

beforeEach(() => {
  directory = temporaryDirectory();
  const log = openLog(directory);
  write(
    log,
    callRecord({}),
    callRecord({
      startedAt: micros(5_000_000),
      tenant: 'umbra',
      outcome: 'denied',
      grpcStatus: 7,
      reason: 'model_denied',
    }),
    callRecord({
      method: '_OTHER',
      methodOriginal: '/a.B/Drop',
      tenantVerified: false,
      caller: '',
      outcome: 'denied',
      grpcStatus: 12,
    }),
    refusalRecord({}),
  );
  log.close();
  const main = openLog(directory, { writer: 'main' });
  write(main, eventRecord({}));
  main.close();
});

const segment = (): string => join(directory, 'worker-0-0000000001.bkal');

describe('audit verify', () => {
  it('says of an intact directory what it has, with exit code 0', async () => {
    const { code, out } = await runCli(['audit', 'verify', directory]);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^main: 1 record in 1 segment, 2026-11-23T10:00:00.000Z to 2026-11-23T10:00:00.000Z\n {2}head [0-9a-f]{64}\n/,
    );
    expect(out).toMatch(/\nworker-0: 4 records in 1 segment, [^\n]+\n {2}head [0-9a-f]{64}\nIntact\.\n$/);
  });

  it('names the first bad record, with exit code 1', async () => {
    const bytes = readFileSync(segment());
    bytes[300] = (bytes[300] ?? 0) ^ 1;
    writeFileSync(segment(), bytes);
    const { code, out } = await runCli(['audit', 'verify', directory]);
    expect(code).toBe(1);
    expect(out).toMatch(/ {2}BAD worker-0-0000000001\.bkal record 1 at byte 97: its bytes or its hash were altered\n/);
    expect(out).toContain('Not intact: worker-0.');
    const json = await runCli(['audit', 'verify', directory, '--json']);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, writers: [{ writer: 'main' }, { bad: { record: 1 } }] });
  });

  it('tells of a record that is not finished', async () => {
    appendFileSync(segment(), 'xx');
    const { code, out } = await runCli(['audit', 'verify', directory]);
    expect(code).toBe(0);
    expect(out).toContain('  2 bytes of a record that is being written');
  });

  it('says when there is nothing, and when there is no directory', async () => {
    expect(await runCli(['audit', 'verify', temporaryDirectory()])).toMatchObject({
      code: 0,
      out: expect.stringContaining('no audit segments'),
    });
    expect(await runCli(['audit', 'verify', join(directory, 'nowhere')])).toMatchObject({
      code: 2,
      err: expect.stringContaining('ENOENT'),
    });
  });
});

describe('audit show', () => {
  const lines = async (...more: readonly string[]) =>
    (await runCli(['audit', 'show', directory, ...more])).out.trimEnd().split('\n');

  it('prints a line a record', async () => {
    expect(await lines()).toEqual([
      '2026-11-23T10:00:00.000Z main/1/1 event config.reloaded generation 2',
      '2026-11-23T10:00:00.000Z worker-0/1/1 ok OK acme token:alice@acme.example 10.4.17.203 inference.GRPCInferenceService/ModelInfer digits:1 1840us (tenants/acme.yaml:41 role predict)',
      '2026-11-23T10:00:05.000Z worker-0/1/2 denied PERMISSION_DENIED umbra token:alice@acme.example 10.4.17.203 inference.GRPCInferenceService/ModelInfer digits:1 1840us model_denied (tenants/acme.yaml:41 role predict)',
      '2026-11-23T10:00:00.000Z worker-0/1/3 denied UNIMPLEMENTED acme? - 10.4.17.203 /a.B/Drop digits:1 1840us (tenants/acme.yaml:41 role predict)',
      '2026-11-23T10:00:00.000Z worker-0/1/4 refused TLS_CLIENT_CERT_REQUIRED x3 203.0.113.9 acme.models.example peer did not return a certificate',
    ]);
  });

  it('filters by tenant, method and time', async () => {
    expect(await lines('--tenant', 'umbra')).toHaveLength(1);
    expect(await lines('--tenant', 'acme')).toHaveLength(3);
    expect(await lines('--method', 'inference.GRPCInferenceService/ModelInfer')).toHaveLength(2);
    expect(await lines('--since', '2026-11-23T10:00:04Z')).toHaveLength(1);
    expect(await lines('--since', '2026-11-23T09:00:00Z')).toHaveLength(5);
  });

  it('shows what rules in shadow would have decided, and filters by it', async () => {
    const log = openLog(directory, { writer: 'worker-1' });
    const deny = { verdict: 'deny', rule: 'tenants/acme.yaml:40 denyRules[0] → nights' } as const;
    const allow = { verdict: 'allow', rule: 'tenants/acme.yaml:31 bindings[0] → role wide' } as const;
    write(log, callRecord({ shadow: deny }), callRecord({ outcome: 'denied', grpcStatus: 7, shadow: allow }));
    log.close();
    const [denied, ...more] = await lines('--shadow', 'deny');
    expect(denied).toMatch(/ ok OK acme .* \[would deny: tenants\/acme.yaml:40 denyRules\[0\] → nights\]$/);
    expect(more).toEqual([]);
    expect(await lines('--shadow', 'allow')).toEqual([expect.stringMatching(/\[would allow: .* role wide\]$/)]);
    expect(await lines('--shadow', 'any')).toHaveLength(2);
    expect((await runCli(['audit', 'show', directory, '--shadow', 'maybe'])).code).not.toBe(0);
  });

  it('refuses a time that is none', async () => {
    const { code, err } = await runCli(['audit', 'show', directory, '--since', 'yesterday']);
    expect(code).not.toBe(0);
    expect(err).toContain('neither a duration');
  });

  it('prints all of a record as JSON, with its place in the chain', async () => {
    const [, call] = await lines('--json');
    expect(JSON.parse(call ?? '')).toMatchObject({
      writer: 'worker-0',
      segment: 1,
      number: 1,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      record: { type: 'call', tenant: 'acme', traceId: '0af7651916cd43dd8448eb211c80319c' },
    });
  });

  it('shows what is before a bad record, says where it is, and goes on with the next writer', async () => {
    const bytes = readFileSync(segment());
    const last = bytes.length - 40;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    writeFileSync(segment(), bytes);
    const { code, out, err } = await runCli(['audit', 'show', directory]);
    expect(code).toBe(1);
    expect(out.trimEnd().split('\n')).toHaveLength(4);
    expect(err).toBe('worker-0-0000000001.bkal record 4: its bytes or its hash were altered\n');
  });
});
