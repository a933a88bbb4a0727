/**
 * HAProxy before two workers, as a load balancer of TCP that says whose connections it passes on: what is on record, what lists
 * decide by, and what becomes of who goes around it. It is taken away and put back while clients call.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AuditRecord } from '../../src/audit/record.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { accepts, Child } from './harness/child.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const PROXY_PROTOCOL = { from: ['127.0.0.3'] };

let upstream: ModelUpstream;
let sidecar: Sidecar;
let haproxy: Child | undefined;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
});
afterAll(() => upstream?.stop());
afterEach(async () => {
  await haproxy?.stop(5_000);
  await sidecar?.stop();
});

/** HAProxy passes on to the sidecar from 127.0.0.3, and checks by LOCAL headers whether it is there. Gives its port. */
async function balance(port: number): Promise<number> {
  const front = await freePort();
  const file = join(sidecar.directory, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:${front}
  default_backend b
backend b
  source 127.0.0.3
  server s1 127.0.0.1:${port} send-proxy-v2 proxy-v2-options crc32c,authority,unique-id check check-send-proxy inter 200ms
`,
  );
  haproxy = await Child.spawn('haproxy', { command: '/usr/sbin/haproxy', args: ['-db', '-f', file] });
  await haproxy.until('listening', () => accepts(front));
  return front;
}

const records = () => auditRecords(sidecar);

describe('behind HAProxy', () => {
  it('a call is on record and judged by its client’s address, and whoever goes around it is refused', async () => {
    const listening = await freePort();
    sidecar = await Sidecar.start({
      tenants: [
        { id: 'acme', upstream: upstream.address, extra: { addresses: ['127.0.0.1'] } },
        { id: 'globex', upstream: upstream.address, extra: { deniedAddresses: ['127.0.0.1'] } },
      ],
      extra: { listen: { address: `127.0.0.1:${listening}`, proxyProtocol: PROXY_PROTOCOL } },
    });
    const target = `127.0.0.1:${await balance(listening)}`;
    const [acme, globex] = ['acme', 'globex'].map((id) => tenantClient(sidecar, id, { target }));
    expect(await acme?.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    expect(await globex?.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'PERMISSION_DENIED' });
    const around = tenantClient(sidecar, 'acme', { target: `127.0.0.1:${listening}` });
    expect(await around.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'UNAVAILABLE' });
    for (const client of [acme, globex, around]) client?.close();
    const wanted = ({ type, ...record }: AuditRecord): boolean =>
      type === 'refusal' && 'reason' in record && record.reason === 'PROXY_NOT_ALLOWED';
    expect(await auditRecord(sidecar, 'who went around it', wanted)).toMatchObject({ peerAddress: '127.0.0.1' });
    // Each worker has a log of its own.
    const calls = (await records())
      .filter((record) => record.type === 'call')
      .toSorted((one, other) => (one.tenant < other.tenant ? -1 : 1));
    expect(calls).toMatchObject([
      { tenant: 'acme', outcome: 'ok', peerAddress: '127.0.0.1', proxyAddress: '127.0.0.3' },
      { tenant: 'globex', outcome: 'denied', reason: 'address_not_allowed', peerAddress: '127.0.0.1' },
    ]);
    expect(calls.every((call) => call.peerPort > 0)).toBe(true);
    // What HAProxy writes is read as it is meant, its checks too; those end before a handshake.
    const refusals = (await records()).filter((record) => record.type === 'refusal');
    expect(refusals.some(({ reason }) => reason === 'PROXY_HEADER_INVALID')).toBe(false);
  });

  it('it comes and goes by a reload, on the same port, with both workers', async () => {
    sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address }] });
    const target = `127.0.0.1:${await balance(sidecar.port)}`;
    const infer = async (to: string): Promise<string> => {
      const client = tenantClient(sidecar, 'acme', { target: to });
      const { code } = await client.infer({ modelName: 'digits', inputs: [] });
      client.close();
      return code;
    };
    const direct = `127.0.0.1:${sidecar.port}`;
    expect([await infer(direct), await infer(target)]).toEqual(['OK', 'UNAVAILABLE']);
    const address = `127.0.0.1:${sidecar.port}`;
    for (const [generation, listen, outcome] of [
      [2, { address, proxyProtocol: PROXY_PROTOCOL }, ['UNAVAILABLE', 'OK']],
      [3, { address }, ['OK', 'UNAVAILABLE']],
    ] as const) {
      sidecar.changeMain({ listen });
      await until(
        `generation ${generation}`,
        async () => {
          const { text } = await sidecar.admin('/metrics');
          return text.includes(`bulkhead_config_generation ${generation}\n`) ? true : undefined;
        },
        10_000,
      );
      // More often than there are workers: each is asked.
      for (let round = 0; round < 8; round += 1) expect([await infer(direct), await infer(target)]).toEqual(outcome);
    }
  });
});
