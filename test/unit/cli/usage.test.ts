import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { AdminServer, type AdminState } from '../../../src/admin/server.ts';
import { err } from '../../../src/kernel/result.ts';
import { usageQuery } from '../../../src/runtime/admin-usage.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, micros } from '../../fakes/audit-records.ts';
import { runCli } from '../../fakes/cli.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { openKeeper } from '../../fakes/usage.ts';

let directory = '';

beforeEach(() => {
  directory = temporaryDirectory();
  const log = openLog(directory);
  write(
    log,
    callRecord({}),
    callRecord({ startedAt: micros(5), outcome: 'denied', grpcStatus: 8, model: '=cmd|"x"!A1' }),
    callRecord({ tenant: 'umbra', caller: '', model: '', outcome: 'denied', grpcStatus: 16 }),
    callRecord({ tenant: 'umbra', model: '\u001b[2Jevil', outcome: 'failed', grpcStatus: 14 }),
  );
  log.close();
});

const since = ['--since', '2026-11-23'];
const of = (...more: string[]): ReturnType<typeof runCli> =>
  runCli(['usage', '--directory', directory, ...since, ...more]);

describe('usage', () => {
  it('prints a table, with a sum', async () => {
    const { code, out, err: beside } = await of();
    expect({ code, beside }).toEqual({ code: 0, beside: '' });
    expect(out).toBe(
      [
        'TIME        TENANT  CALLS  OK  DENIED  FAILED  CANCELLED  REQUEST BYTES  RESPONSE BYTES  IN  OUT',
        '2026-11-23  acme        2   1       1       0          0           6644             208   2    2',
        '2026-11-23  umbra       2   0       1       1          0           6644             208   2    2',
        'all                     4   1       2       1          0          13288             416   4    4',
        '',
      ].join('\n'),
    );
  });

  it('lets no name speak to the terminal, and names what has no name', async () => {
    const { out } = await of('--tenant', 'umbra', '--per', 'model', '--by', 'total');
    expect(out).toContain('(none)');
    expect(out).toContain('\\u{1b}[2Jevil');
    expect(out).not.toContain('\u001b');
  });

  it('prints values with a column for everything that is counted, and none that a spreadsheet would run', async () => {
    const { out } = await of('--tenant', 'acme', '--per', 'model', '--by', 'total', '--csv');
    const [head, first, second] = out.split('\r\n');
    expect(head).toBe(
      'tenant,model,calls,ok,failed,cancelled,denied,deniedCredentials,deniedPermission,deniedLimit,deniedUnavailable,deniedOther,requestBytes,responseBytes,requestMessages,responseMessages,durationMicros,tensorElements,inputTokens,outputTokens,computeMicros',
    );
    expect(first).toBe('acme,"\'=cmd|""x""!A1",1,0,0,0,1,0,0,1,0,0,3322,104,1,1,1840,0,0,0,0');
    expect(second).toMatch(/^acme,digits,1,1,/);
  });

  it('prints everything as JSON', async () => {
    const { out } = await of('--json', '--per', 'caller+model', '--by', 'hour');
    const report = JSON.parse(out);
    expect(report).toMatchObject({ by: 'hour', per: 'caller+model', complete: true, total: { calls: 4 } });
    expect(report.lines).toHaveLength(4);
  });

  it('says what to do when there is nothing', async () => {
    const { code, out } = await of('--tenant', 'nobody');
    expect(code).toBe(0);
    expect(out).toContain('no usage of tenant nobody in that time\nCalls are counted when they end. Ask for');
  });

  it('asks a running sidecar, and says what to do when there is none', async () => {
    const test = openKeeper(directory);
    const state: AdminState = {
      ready: () => ({ ready: true, reasons: [] }),
      metrics: () => Promise.resolve(''),
      describe: () => ({}),
      tenants: () => [],
      explain: () => Promise.resolve(err('not asked here')),
      usage: (query) => usageQuery(query, test.keeper),
    };
    const server = new AdminServer({ address: '127.0.0.1', port: 0, state });
    const { port } = await server.start();
    onTestFinished(async () => {
      await server.close();
      await test.keeper.close();
    });
    const admin = ['usage', '--admin', `127.0.0.1:${port}`];
    const [running, files] = [await runCli([...admin, ...since]), await of()];
    expect(running).toEqual(files);
    const wrong = await fetch(`http://127.0.0.1:${port}/usage?tenants=acme`);
    expect(await wrong.json()).toEqual({ error: 'a parameter is none of: tenant, since, until, by, per, zone' });
    const none = await runCli(['usage', '--admin', '127.0.0.1:1']);
    expect(none.code).toBe(2);
    expect(none.err).toMatch(/127\.0\.0\.1:1 does not answer: .*\nname the admin port of a running sidecar/);
  });

  it.each([
    [['--json', '--csv'], 'either --json or --csv'],
    [['--admin', '127.0.0.1:9901'], 'one of --admin, --config and --directory'],
    [['--verify', '--csv'], '--verify prints text or --json'],
    [['--verify'], '--verify compares everything that is kept'],
    [['--until', 'never'], '--until is neither a duration'],
    [['--zone', 'Nowhere'], '--zone is no time zone'],
  ])('refuses %j', async (more, why) => {
    const { code, err: said } = await of(...more);
    expect(code).toBe(2);
    expect(said).toContain(why);
  });

  it('of a directory that is not there says so', async () => {
    expect(await runCli(['usage', '--directory', join(directory, 'none')])).toMatchObject({
      code: 2,
      err: expect.stringContaining('is not there: name the directory that audit.directory names'),
    });
    expect(await runCli(['usage', '--verify'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('name --config or --directory'),
    });
  });
});

describe('usage --verify', () => {
  const verify = (...more: string[]): ReturnType<typeof runCli> =>
    runCli(['usage', '--directory', directory, '--verify', ...more]);

  it('agrees, with and without a sidecar’s files', async () => {
    const agreed = `compared: 1 hour from 2026-11-23T10 to 2026-11-23T10, 4 calls on record\nusage agrees with the audit log\n`;
    expect(await verify()).toMatchObject({ code: 0, out: agreed });
    await openKeeper(directory).keeper.close();
    expect(await verify()).toMatchObject({ code: 0, out: agreed });
    expect(JSON.parse((await verify('--json')).out)).toMatchObject({ ok: true, calls: 4 });
  });

  it('fails with each difference', async () => {
    const test = openKeeper(directory);
    test.at = 3 * 3_600_000_000;
    await test.keeper.close();
    const path = join(directory, 'usage', '2026-11-23T10.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"digits",1', '"digits",2'));
    const { code, out } = await verify();
    expect(code).toBe(1);
    expect(out).toContain(`PROBLEM ${path}: its checksum is wrong`);
  });

  it('has nothing to say of an empty directory', async () => {
    directory = temporaryDirectory();
    expect(await verify()).toMatchObject({ code: 0, out: 'there is no usage yet\n' });
  });
});
