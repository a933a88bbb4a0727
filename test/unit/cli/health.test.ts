import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../../src/admin/server.ts';
import { err } from '../../../src/kernel/result.ts';

/** Runs the probe as a container does: the file itself, in a process of its own. */
function probe(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const file = fileURLToPath(new URL('../../../src/cli/health.ts', import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], (error, out, err) =>
      resolve({ code: Number(error?.code ?? 0), out, err }),
    );
  });
}

let open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const server of open) await server.close();
  open = [];
});

async function adminThatIs(ready: boolean): Promise<string> {
  const state = {
    ready: () => ({ ready, reasons: ready ? [] : ['0 of 2 workers listen'] }),
    metrics: () => Promise.resolve(''),
    describe: () => ({}),
    tenants: () => [],
    explain: () => Promise.resolve(err('not asked here')),
    usage: () => Promise.resolve(err('not asked here')),
  };
  const server = new AdminServer({ address: '127.0.0.1', port: 0, state });
  open.push(server);
  return `127.0.0.1:${(await server.start()).port}`;
}

describe('bulkhead health', () => {
  it('succeeds when the sidecar is well', async () => {
    const admin = await adminThatIs(true);
    expect(await probe('readiness', '--admin', admin)).toMatchObject({
      code: 0,
      out: expect.stringContaining('"ready": true'),
    });
    expect(await probe('--admin', admin)).toMatchObject({ code: 0 });
  });

  it('fails with the reasons when it is not ready, though it lives', async () => {
    const admin = await adminThatIs(false);
    expect(await probe('readiness', '--admin', admin)).toMatchObject({
      code: 1,
      err: expect.stringContaining('workers listen'),
    });
    expect(await probe('liveness', '--admin', admin)).toMatchObject({ code: 0, out: 'ok\n' });
  });

  it('fails when nobody answers, when the answer never comes, and when it never ends', async () => {
    expect(await probe('liveness', '--admin', '127.0.0.1:1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('ECONNREFUSED'),
    });
    const listen = (server: Server): Promise<string> =>
      new Promise((resolve) => {
        open.push({ close: () => (server.closeAllConnections(), server.close()) });
        server.listen(0, '127.0.0.1', () => {
          const bound = server.address();
          resolve(`127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`);
        });
      });
    const silent = await listen(createServer(() => {}));
    const endless = await listen(
      createServer((_, response) => {
        const pour = (): void => void response.write('x'.repeat(10_000), () => setTimeout(pour, 1));
        pour();
      }),
    );
    expect(await probe('liveness', '--admin', silent)).toMatchObject({
      code: 1,
      err: expect.stringContaining('no answer within 3000 ms'),
    });
    expect(await probe('liveness', '--admin', endless)).toMatchObject({
      code: 1,
      err: expect.stringContaining('too long'),
    });
  });

  it('refuses what it does not know', async () => {
    expect(await probe('happiness')).toMatchObject({ code: 1, err: expect.stringContaining('happiness') });
    for (const admin of ['9901', 'example.com:9901', '127.0.0.1:0', '127.0.0.1:70000', '[::1:9901']) {
      expect(await probe('liveness', '--admin', admin)).toMatchObject({
        code: 1,
        err: expect.stringContaining('ADDRESS:PORT'),
      });
    }
  });
});
