import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath } from 'grpc-health-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAllowedHost } from '../../../src/admin/host-check.ts';
import type { AdminState, Readiness } from '../../../src/admin/server.ts';
import { AdminServer } from '../../../src/admin/server.ts';
import { err, ok } from '../../../src/kernel/result.ts';

class FakeState implements AdminState {
  readiness: Readiness = { ready: true, reasons: [] };
  failing = false;
  ready = (): Readiness => this.readiness;
  metrics = (): Promise<string> =>
    this.failing ? Promise.reject(new Error('secret inside')) : Promise.resolve('# TYPE up gauge\nup 1\n');
  describe = (): object => ({ generation: 7, digest: 'abc', tenants: [{ id: 'acme' }] });
  tenants = (): readonly object[] => [{ id: 'acme', callsInProgress: 0 }];
  explain = (query: URLSearchParams): ReturnType<AdminState['explain']> =>
    Promise.resolve(query.has('tenant') ? ok({ asked: Object.fromEntries(query) }) : err('tenant is needed'));
  usage = (query: URLSearchParams): ReturnType<AdminState['usage']> =>
    Promise.resolve(
      query.get('by') === 'year' ? err('by is none of hour, day') : ok({ lines: [], by: query.get('by') }),
    );
}

let state: FakeState;
let server: AdminServer;
let port: number;
let errors: unknown[];

beforeEach(async () => {
  state = new FakeState();
  errors = [];
  const onError = (cause: unknown): void => void errors.push(cause);
  server = new AdminServer({ address: '127.0.0.1', port: 0, state, hostNames: ['sidecar.test'], onError });
  port = (await server.start()).port;
});
afterEach(() => server.close());

async function get(path: string, options: { method?: string; host?: string } = {}) {
  const { method = 'GET', host = `127.0.0.1:${port}` } = options;
  const sent = request({ port, host: '127.0.0.1', path, method, headers: { host }, agent: false }).end();
  const [response] = await once(sent, 'response');
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode as number, headers: response.headers, body };
}

describe('the admin port over HTTP/1.1', () => {
  it('says that it lives, whether or not it is ready', async () => {
    state.readiness = { ready: false, reasons: ['draining'] };
    expect(await get('/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('says what was used, or what is wrong with the question', async () => {
    expect(await get('/usage?by=hour')).toMatchObject({ status: 200, body: expect.stringContaining('"by": "hour"') });
    expect(await get('/usage?by=year')).toMatchObject({ status: 400, body: expect.stringContaining('none of hour') });
    expect((await get('/')).body).toContain('/usage?[tenant=…]');
  });

  it('explains a call, with the names in the query', async () => {
    const { status, body } = await get('/explain?tenant=acme&subject=a%20b');
    expect([status, JSON.parse(body)]).toEqual([200, { asked: { tenant: 'acme', subject: 'a b' } }]);
    expect(await get('/explain')).toMatchObject({ status: 400, body: '{\n  "error": "tenant is needed"\n}\n' });
    expect((await get('/')).body).toContain('/explain?tenant=…&method=…[&model=…]');
  });

  it('says whether it is ready, with the reasons', async () => {
    const ready = await get('/readyz');
    expect([ready.status, JSON.parse(ready.body)]).toEqual([200, { ready: true, reasons: [] }]);
    state.readiness = { ready: false, reasons: ['1 of 2 workers listen'] };
    const unready = await get('/readyz');
    expect([unready.status, JSON.parse(unready.body)]).toEqual([
      503,
      { ready: false, reasons: ['1 of 2 workers listen'] },
    ]);
  });

  it('serves metrics as Prometheus text', async () => {
    const { status, headers, body } = await get('/metrics');
    expect([status, headers['content-type'], body]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      '# TYPE up gauge\nup 1\n',
    ]);
  });

  it('shows the configuration, the tenants, and what there is', async () => {
    expect(JSON.parse((await get('/config?pretty')).body)).toMatchObject({ generation: 7 });
    expect(JSON.parse((await get('/tenants')).body)).toEqual({ tenants: [{ id: 'acme', callsInProgress: 0 }] });
    expect((await get('/')).body).toContain('/readyz');
    expect((await get('/nothing')).status).toBe(404);
  });

  it('answers HEAD without a body, and nothing but GET and HEAD', async () => {
    const head = await get('/config', { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, '']);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(10);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const refused = await get('/config', { method });
      expect([refused.status, refused.headers['allow']]).toEqual([405, 'GET, HEAD']);
    }
  });

  it('refuses a rebound name, and answers the same request under an address, localhost or a configured name', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '[::1',
    ]) {
      expect((await get('/config', { host })).status).not.toBe(200);
    }
    expect([isAllowedHost(undefined, []), isAllowedHost('', [])]).toEqual([false, false]);
    for (const host of ['localhost', `LOCALHOST:${port}`, '127.0.0.1', '10.1.2.3:9901', '[::1]:9901', 'sidecar.test']) {
      expect((await get('/config', { host })).status).toBe(200);
    }
  });

  it('tells the operator, not the client, what went wrong inside', async () => {
    state.failing = true;
    const { status, body } = await get('/metrics');
    expect(status).toBe(500);
    expect(body).not.toContain('secret');
    expect(errors).toEqual([new Error('secret inside')]);
  });

  it('takes 64 connections at once, and not one more', async () => {
    const open = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {}).resume();
      await once(socket, 'connect');
      return socket;
    };
    const sockets = await Promise.all(Array.from({ length: 64 }, open));
    const tooMany = await open();
    await once(tooMany, 'close');
    expect(sockets.filter((socket) => socket.closed)).toEqual([]);
    sockets[0]?.destroy();
    // Its place is free once the server has heard of it.
    let next = await open();
    for (
      let round = 0;
      round < 100 && (await Promise.race([once(next, 'close'), sleep(20, 'open')])) !== 'open';
      round++
    ) {
      next = await open();
    }
    expect(next.closed).toBe(false);
    for (const socket of [...sockets, next]) socket.destroy();
  });

  it('takes headers shorter than 8 KiB, and refuses one byte more', async () => {
    // Of a request, llhttp counts its path, and names and values of its fields.
    const rest = ['/healthz', 'host', 'localhost', 'x-filler'].join('').length;
    const send = async (counted: number): Promise<string> => {
      const bytes = counted - rest;
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(`GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-filler: ${'x'.repeat(bytes)}\r\n\r\n`);
      let answer = '';
      for await (const chunk of socket) answer += chunk;
      return answer.slice(0, 12);
    };
    expect(await send(8 * 1024 - 1)).toBe('HTTP/1.1 200');
    expect(await send(8 * 1024)).toBe('HTTP/1.1 431');
  });

  it('answers a request that arrives byte by byte', async () => {
    const socket = connect(port, '127.0.0.1').setNoDelay();
    for (const byte of 'GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n') {
      socket.write(byte);
      await sleep(1);
    }
    let answer = '';
    for await (const chunk of socket) answer += chunk;
    expect(answer).toMatch(/^HTTP\/1\.1 200[^]*ok\n$/);
  });
});

interface HealthClient extends Client {
  check(request: { service: string }, callback: (error: ServiceError | null, answer: { status: string }) => void): void;
  watch(request: {
    service: string;
  }): AsyncIterable<{ status: string }> & { cancel(): void; on(e: 'error', l: () => void): void };
}

function healthClient(): HealthClient {
  const loaded = loadPackageDefinition(loadSync(protoPath, { enums: String })) as unknown as {
    grpc: { health: { v1: { Health: new (target: string, creds: unknown) => HealthClient } } };
  };
  return new loaded.grpc.health.v1.Health(`127.0.0.1:${port}`, credentials.createInsecure());
}

function check(client: HealthClient, service: string): Promise<string | number> {
  return new Promise((resolve) => client.check({ service }, (error, answer) => resolve(error?.code ?? answer.status)));
}

describe('the admin port over gRPC', () => {
  it('serves health on the same port: liveness always, readiness when ready', async () => {
    const client = healthClient();
    expect(await check(client, '')).toBe('SERVING');
    expect(await check(client, 'readiness')).toBe('SERVING');
    client.close();
    state.readiness = { ready: false, reasons: ['draining'] };
    const later = healthClient();
    expect(await check(later, '')).toBe('NOT_SERVING');
    expect(await check(later, 'readiness')).toBe('NOT_SERVING');
    expect(await check(later, 'liveness')).toBe('SERVING');
    expect(await check(later, 'unknown')).toBe(5);
    expect((await get('/healthz')).status).toBe(200);
    later.close();
  });

  it('tells a watcher of a change', async () => {
    const client = healthClient();
    const watch = client.watch({ service: 'readiness' });
    watch.on('error', () => {});
    const seen: string[] = [];
    for await (const { status } of watch) {
      seen.push(status);
      if (seen.length === 1) state.readiness = { ready: false, reasons: ['draining'] };
      if (seen.length === 2) break;
    }
    expect(seen).toEqual(['SERVING', 'NOT_SERVING']);
    watch.cancel();
    client.close();
  });
});

describe('closing the admin port', () => {
  it('ends connections of both kinds, also idle ones', async () => {
    const client = healthClient();
    await check(client, '');
    const idle = connect(port, '127.0.0.1');
    await once(idle, 'connect');
    const ended = once(idle, 'close');
    await server.close();
    await ended;
    client.close();
  });

  it('does not start on a port that is taken', async () => {
    const second = new AdminServer({ address: '127.0.0.1', port, state });
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.close();
  });
});
