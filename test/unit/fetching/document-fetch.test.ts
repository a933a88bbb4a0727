import { once } from 'node:events';
import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps, type ServerOptions } from 'node:https';
import { afterEach, describe, expect, test } from 'vitest';
import { DocumentFetcher, type DocumentRequest, type Resolve } from '../../../src/fetching/document-fetch.ts';
import { createCa, issueClient, issueServer } from '../../../src/identity/issue.ts';
import { err, ok } from '../../../src/kernel/result.ts';

let servers: Server[] = [];
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
});

const ca = createCa({ commonName: 'idp CA', days: 1 });
const { certPem, keyPem } = issueServer(ca, {
  dnsNames: ['localhost', 'idp.test'],
  ipAddresses: ['127.0.0.1'],
  days: 1,
});
const JSON_TYPE = { 'content-type': 'application/json' };

async function serve(handler: RequestListener, options: ServerOptions | 'plain' = {}): Promise<number> {
  const server =
    options === 'plain' ? createHttp(handler) : createHttps({ cert: certPem, key: keyPem, ...options }, handler);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const answering =
  (body: string): RequestListener =>
  (_, response) =>
    void response.writeHead(200, JSON_TYPE).end(body);

const request = (url: string, more: Partial<DocumentRequest> = {}): DocumentRequest => ({
  url,
  caPem: ca.certPem,
  timeoutMs: 10_000,
  maxBytes: 1000,
  contentTypes: ['application/json'],
  ...more,
});

const { fetch } = new DocumentFetcher(['127.0.0.0/8']);
const text = async (sent: DocumentRequest, by = fetch): Promise<string> => {
  const got = await by(sent);
  return got.ok ? got.value.toString() : `error: ${got.error}`;
};

describe('a document', () => {
  test('is fetched with the CA that was configured, and not with the system’s', async () => {
    const port = await serve(answering('{"keys":[]}'));
    expect(await text(request(`https://127.0.0.1:${port}/`))).toBe('{"keys":[]}');
    expect(await text(request(`https://127.0.0.1:${port}/`, { caPem: undefined }))).toMatch(/^error: .*certificate/);
  });

  test('of a server with another name is not taken', async () => {
    const port = await serve(answering('{}'));
    const { fetch: byName } = new DocumentFetcher(['127.0.0.0/8'], resolvesTo(['127.0.0.1']));
    expect(await text(request(`https://idp.test:${port}/`), byName)).toBe('{}');
    expect(await text(request(`https://other.test:${port}/`), byName)).toMatch(/altnames/);
  });

  test('takes n bytes and not n + 1', async () => {
    const port = await serve((incoming, response) => {
      response.writeHead(200, JSON_TYPE).end('x'.repeat(incoming.url === '/n' ? 1000 : 1001));
    });
    expect(await text(request(`https://127.0.0.1:${port}/n`))).toBe('x'.repeat(1000));
    expect(await fetch(request(`https://127.0.0.1:${port}/more`))).toEqual(err('longer than 1000 bytes'));
  });

  test('gives up on a server that does not answer, or never finishes', async () => {
    const port = await serve((incoming, response) => {
      if (incoming.url === '/silent') return;
      response.writeHead(200, JSON_TYPE).write('{');
    });
    for (const path of ['silent', 'endless']) {
      const from = performance.now();
      expect((await fetch(request(`https://127.0.0.1:${port}/${path}`, { timeoutMs: 300 }))).ok).toBe(false);
      expect(performance.now() - from).toBeGreaterThan(298);
    }
  });

  test('waits for a server that is slow, up to its limit', async () => {
    const port = await serve((_, response) => void setTimeout(() => response.writeHead(200, JSON_TYPE).end('{}'), 350));
    expect(await fetch(request(`https://127.0.0.1:${port}/`, { timeoutMs: 60_000 }))).toEqual(ok(Buffer.from('{}')));
  });

  test('is not looked for elsewhere, and an error page is none', async () => {
    let asked = 0;
    const elsewhere = await serve((_, response) => {
      asked += 1;
      response.writeHead(200, JSON_TYPE).end('{}');
    });
    const port = await serve((incoming, response) => {
      const status = Number(incoming.url?.slice(1));
      response.writeHead(status, { ...JSON_TYPE, location: `https://127.0.0.1:${elsewhere}/` }).end('{}');
    });
    for (const status of [201, 204, 301, 302, 303, 307, 308, 401, 404, 500]) {
      expect(await fetch(request(`https://127.0.0.1:${port}/${status}`))).toEqual(err(`status ${status}`));
    }
    expect(asked).toBe(0);
  });

  test.each([
    ['application/json', true],
    ['Application/JSON; charset=utf-8', true],
    ['text/html', false],
    ['application/jsonp', false],
    [undefined, false],
  ])('of the type %s: %s', async (type, taken) => {
    const port = await serve((_, response) => {
      response.writeHead(200, type === undefined ? {} : { 'content-type': type }).end('{}');
    });
    expect((await fetch(request(`https://127.0.0.1:${port}/`))).ok).toBe(taken);
  });

  test('is not unpacked', async () => {
    const port = await serve((_, response) => {
      response.writeHead(200, { ...JSON_TYPE, 'content-encoding': 'gzip' }).end('{}');
    });
    expect(await fetch(request(`https://127.0.0.1:${port}/`))).toEqual(err('encoded as gzip'));
  });

  test('whose server hangs up, or speaks something else, is an error and nothing else', async () => {
    const hangsUp = await serve((incoming) => incoming.socket.destroy());
    expect((await fetch(request(`https://127.0.0.1:${hangsUp}/`))).ok).toBe(false);
    const upgrades = await serve((incoming) => {
      incoming.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    });
    expect(await text(request(`https://127.0.0.1:${upgrades}/`))).toBe('error: switches to another protocol');
    const cut = await serve((_, response) => {
      response.writeHead(200, { ...JSON_TYPE, 'content-length': '10' }).write('{');
      setImmediate(() => response.destroy());
    });
    expect((await fetch(request(`https://127.0.0.1:${cut}/`))).ok).toBe(false);
  });

  test('may be asked for with a form, further headers and a client certificate', async () => {
    const client = issueClient(ca, { spiffeId: 'spiffe://acme.example/bulkhead', days: 1 });
    const port = await serve(
      (incoming, response) => {
        let body = '';
        incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
        incoming.on('end', () => {
          const { authorization } = incoming.headers;
          response.writeHead(200, JSON_TYPE).end(JSON.stringify([incoming.method, authorization, body]));
        });
      },
      { ca: ca.certPem, requestCert: true, rejectUnauthorized: true },
    );
    const sent = request(`https://127.0.0.1:${port}/`, {
      form: 'token=abc',
      headers: { authorization: 'Basic eDp5' },
      clientCertificate: { chainPem: client.certPem, keyPem: client.keyPem },
    });
    expect(await text(sent)).toBe('["POST","Basic eDp5","token=abc"]');
    expect((await fetch({ ...sent, clientCertificate: undefined })).ok).toBe(false);
  });
});

const resolvesTo =
  (...answers: readonly (readonly string[])[]): Resolve =>
  (_name, _options, callback) => {
    const [now = [], ...later] = answers;
    if (later.length > 0) answers = later;
    callback(
      null,
      now.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };

describe('an address that may not be asked', () => {
  test('is not connected to, whichever way it is written', async () => {
    let connections = 0;
    const port = await serve(answering('{}'));
    servers[0]?.on('connection', () => (connections += 1));
    const strict = new DocumentFetcher();
    for (const host of [
      '127.0.0.1',
      'localhost',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[::1]',
      '0.0.0.0',
    ]) {
      expect(await text(request(`https://${host}:${port}/`), strict.fetch)).toMatch(/^error: .* is /);
    }
    expect(connections).toBe(0);
    expect(await text(request(`https://127.0.0.1:${port}/`))).toBe('{}');
    expect(connections).toBe(1);
  });

  test('is not reached by a name that resolves to it', async () => {
    const { fetch: strict } = new DocumentFetcher([], resolvesTo(['10.1.2.3']));
    expect(await text(request('https://idp.test/'), strict)).toBe(
      'error: idp.test is 10.1.2.3, which is a private address',
    );
  });

  test('is left out where a name has others, and the name is asked for once', async () => {
    const port = await serve(answering('{}'));
    let asked = 0;
    const once = resolvesTo(['10.1.2.3', '127.0.0.1', '169.254.169.254']);
    const { fetch: strict } = new DocumentFetcher(['127.0.0.0/8'], (name, options, callback) => {
      asked += 1;
      once(name, options, callback);
    });
    expect(await text(request(`https://idp.test:${port}/`), strict)).toBe('{}');
    expect(asked).toBe(1);
  });

  test('is not reached by a name that resolves to something else the second time', async () => {
    let connections = 0;
    const port = await serve(answering('{}'));
    servers[0]?.on('connection', () => (connections += 1));
    const { fetch: strict } = new DocumentFetcher([], resolvesTo(['10.1.2.3'], ['127.0.0.1'], ['127.0.0.1']));
    for (let index = 0; index < 3; index += 1) {
      expect((await strict(request(`https://idp.test:${port}/`))).ok).toBe(false);
    }
    expect(connections).toBe(0);
  });

  test('may be asked from the moment that it is allowed, until it is not', async () => {
    const port = await serve(answering('{}'));
    const changing = new DocumentFetcher();
    const sent = request(`https://127.0.0.1:${port}/`);
    expect((await changing.fetch(sent)).ok).toBe(false);
    changing.allow(['127.0.0.1']);
    expect((await changing.fetch(sent)).ok).toBe(true);
    changing.allow([]);
    expect((await changing.fetch(sent)).ok).toBe(false);
  });

  test('a name that nobody has is an error', async () => {
    const { fetch: strict } = new DocumentFetcher([], (_name, _options, callback) =>
      callback(new Error('ENOTFOUND'), []),
    );
    expect(await text(request('https://idp.test/'), strict)).toBe('error: ENOTFOUND');
    const { fetch: none } = new DocumentFetcher([], resolvesTo([]));
    expect((await none(request('https://idp.test/'))).ok).toBe(false);
  });
});

test('plain HTTP is spoken with this host only, and only where that is allowed', async () => {
  const port = await serve(answering('{}'), 'plain');
  expect(await text(request(`http://127.0.0.1:${port}/`))).toBe('{}');
  expect((await new DocumentFetcher().fetch(request(`http://127.0.0.1:${port}/`))).ok).toBe(false);
  const { fetch: open } = new DocumentFetcher(['10.0.0.0/8', '127.0.0.0/8'], resolvesTo(['10.0.0.1']));
  for (const url of ['http://idp.test/', 'http://10.0.0.1/', 'http://127.0.0.1.evil.test/', 'http://1.1.1.1/']) {
    expect(await text(request(url), open)).toMatch(/is not this host/);
  }
  for (const url of ['ftp://127.0.0.1/', 'file:///etc/passwd', 'data:application/json,{}', 'nonsense', '']) {
    expect((await open(request(url))).ok).toBe(false);
  }
});
