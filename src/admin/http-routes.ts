/**
 * What the admin port answers over HTTP/1.1. Only GET and HEAD: nothing here changes anything.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Result } from '../kernel/result.ts';
import { isAllowedHost } from './host-check.ts';
import type { AdminServerOptions, AdminState } from './state.ts';

/** One answer, small enough to be held. */
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type Route = (state: AdminState, query: URLSearchParams) => Answer | Promise<Answer>;

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/', () => text(200, index())],
  ['/healthz', () => text(200, 'ok\n')],
  ['/readyz', (state) => readiness(state)],
  [
    '/metrics',
    async (state) => ({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await state.metrics() }),
  ],
  ['/config', (state) => json(200, state.describe())],
  ['/tenants', (state) => json(200, { tenants: state.tenants() })],
  ['/explain', async (state, query) => answered(await state.explain(query))],
  ['/usage', async (state, query) => answered(await state.usage(query))],
]);

/** What the index says of routes that take parameters. */
const PARAMETERS: ReadonlyMap<string, string> = new Map([
  [
    '/explain',
    '?tenant=…&method=…[&model=…][&version=…][&subject=…[&scope=…]][&key=…][&certificate=…]  why a call would be let through or refused',
  ],
  [
    '/usage',
    '?[tenant=…][&since=…][&until=…][&by=hour|day|month|total][&per=tenant|caller|model|caller%2Bmodel][&zone=…]  what was used, up to now',
  ],
]);

function index(): string {
  const lines = [...ROUTES.keys()].filter((path) => path !== '/').map((path) => `${path}${PARAMETERS.get(path) ?? ''}`);
  return `Bulkhead admin\n\n${lines.join('\n')}\n`;
}

/** Answers one request and closes its connection. Rejects only when the answer cannot be written. */
export async function answerHttp(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminServerOptions,
): Promise<void> {
  response.shouldKeepAlive = false;
  const answer = await answerTo(request, options);
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(answer.status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function answerTo(request: IncomingMessage, options: AdminServerOptions): Promise<Answer> {
  if (!isAllowedHost(request.headers.host, options.hostNames ?? [])) return text(421, 'unknown host\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD\n');
  const url = request.url ?? '';
  const path = url.replace(/\?.*$/s, '');
  const route = ROUTES.get(path);
  if (route === undefined) return text(404, 'not found; GET / lists what there is\n');
  try {
    return await route(options.state, new URLSearchParams(url.slice(path.length)));
  } catch (cause) {
    options.onError?.(cause);
    return text(500, 'internal error; the log has the cause\n');
  }
}

function readiness(state: AdminState): Answer {
  const { ready, reasons } = state.ready();
  return json(ready ? 200 : 503, { ready, reasons });
}

function answered(result: Result<object, string>): Answer {
  return result.ok ? json(200, result.value) : json(400, { error: result.error });
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

function json(status: number, value: object): Answer {
  return { status, type: 'application/json', body: `${JSON.stringify(value, undefined, 2)}\n` };
}
