/**
 * TLS sessions, as OpenSSL's own client keeps and offers them: by ticket and by session id, to its own tenant, to another, and without
 * a certificate. None is resumed, so none can carry one tenant's standing to another's door. An ordinary server resumes each.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HostileGround } from '../fakes/hostile-ground.ts';
import { InProcessSidecar } from '../fakes/in-process-sidecar.ts';
import type { FakeTenant } from '../fakes/trust.ts';

/** As s_client is told to keep its sessions. */
const KINDS = [
  ['TLS 1.3', ['-tls1_3']],
  ['TLS 1.2, by ticket', ['-tls1_2']],
  ['TLS 1.2, by session id', ['-tls1_2', '-no_ticket']],
] as const;

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-sessions-'));
let made = 0;
let ground: HostileGround;
let sidecar: InProcessSidecar;
const children: ChildProcessWithoutNullStreams[] = [];

beforeAll(async () => {
  ground = await HostileGround.start();
  const generation = ground.generation();
  const listener = { address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.2' } as const;
  sidecar = await InProcessSidecar.start({ ...generation, listener });
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await sidecar.stop();
  await ground.stop();
  rmSync(folder, { recursive: true, force: true });
});

function file(text: string): string {
  made += 1;
  const path = join(folder, `${made}.pem`);
  writeFileSync(path, text);
  return path;
}

function openssl(...args: readonly string[]): { readonly child: ChildProcessWithoutNullStreams; output(): string } {
  const child = spawn('openssl', args);
  children.push(child);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.stdin.on('error', () => undefined);
  return { child, output: () => output };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let round = 0; round < 1_000; round++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`did not happen: ${what}`);
}

interface Dial {
  readonly port: number;
  readonly tenant: FakeTenant;
  readonly flags: readonly string[];
  /** Without a client certificate. */
  readonly bare?: boolean;
  /** A session to offer. */
  readonly session?: string;
}

/** Shakes hands: `New`, `Reused`, or neither; and the session that came of it, if one did. */
async function dial({ port, tenant, flags, bare = false, session }: Dial) {
  made += 1;
  const kept = join(folder, `${made}.session`);
  const { serverName, client } = tenant.pki;
  const certificate = bare ? [] : ['-cert', file(client.certPem), '-key', file(client.keyPem)];
  const offered = session === undefined ? [] : ['-sess_in', session];
  const to = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', serverName, '-alpn', 'h2', ...flags];
  const { child, output } = openssl(...to, ...certificate, ...offered, '-sess_out', kept);
  const ended = once(child, 'close');
  const how = (): string => /^(New|Reused), TLSv1\.\d/m.exec(output())?.[1] ?? '';
  // A new session of TLS 1.3 comes after the handshake; one of TLS 1.2 that is resumed is not written again.
  const settled = (): boolean => how() === 'Reused' || (how() === 'New' && existsSync(kept));
  await until('a session or an end', () => child.exitCode !== null || settled());
  child.stdin.end();
  await ended;
  return { how: how(), alert: /alert number (\d+)/.exec(output())?.[1], kept };
}

describe.each(KINDS)('a session of %s', (_, flags) => {
  it('is resumed neither by its own tenant nor by another, nor without a certificate', async () => {
    const { port } = sidecar;
    const first = await dial({ port, tenant: ground.acme, flags });
    expect(first.how).toBe('New');
    const session = first.kept;
    for (const tenant of [ground.acme, ground.globex]) {
      expect(await dial({ port, tenant, flags, session })).toMatchObject({ how: 'New', alert: undefined });
    }
    // Whoever has stolen one has no key: the certificate is asked for again.
    expect((await dial({ port, tenant: ground.acme, flags, session, bare: true })).alert).toMatch(/^(116|40)$/);
  });

  it('would be resumed by an ordinary server, so the client is able to', async () => {
    const { server } = ground.acme.pki;
    const identity = ['-cert', file(server.certPem), '-key', file(server.keyPem)];
    const { output } = openssl('s_server', '-accept', '127.0.0.1:0', '-alpn', 'h2', ...identity);
    await until('a port', () => /ACCEPT .*:\d+/.test(output()));
    const port = Number(/ACCEPT .*:(\d+)/.exec(output())?.[1]);
    const first = await dial({ port, tenant: ground.acme, flags });
    expect(first.how).toBe('New');
    expect((await dial({ port, tenant: ground.acme, flags, session: first.kept })).how).toBe('Reused');
  });
});
