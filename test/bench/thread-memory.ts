/**
 * What each thread of a running sidecar keeps, as V8 counts it after a full collection: asked from outside, by Node's own inspector
 * protocol, so that the product needs no hook for it.
 */
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ThreadMemory {
  /** `worker-0`, `telemetry`, `main`. */
  readonly thread: string;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly bufferBytes: number;
  /** Handles and requests that keep it alive. */
  readonly resources: number;
}

/** Objects by constructor, and everything else by V8's name for it. */
export type ObjectCounts = ReadonlyMap<string, { readonly count: number; readonly bytes: number }>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: { readonly result?: { readonly value?: unknown }; readonly exceptionDetails?: unknown };
  readonly params?: {
    readonly sessionId?: string;
    readonly message?: string;
    readonly workerInfo?: { readonly title: string; readonly url: string };
  };
}

const MEASURE = `JSON.stringify({
  heapBytes: process.getBuiltinModule('node:v8').getHeapStatistics().used_heap_size,
  externalBytes: process.memoryUsage().external,
  bufferBytes: process.memoryUsage().arrayBuffers,
  resources: process.getActiveResourcesInfo().length,
})`;
const ANSWER_TIMEOUT_MS = 60_000;
/** Collections in a row: what the first one finalizes, the next ones free. */
const COLLECTIONS = 3;

export class ThreadProbe {
  readonly #socket: WebSocket;
  readonly #threads = new Map<string, string>();
  readonly #answers = new Map<string, (message: Message) => void>();
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', (event) => this.#hear(JSON.parse(String(event.data)) as Message, ''));
  }

  /** Attaches to all threads of the process whose inspector listens there. */
  static async attach(inspectorPort: number): Promise<ThreadProbe> {
    const response = await fetch(`http://127.0.0.1:${inspectorPort}/json`);
    // Boundary: Node's inspector says what there is to attach to.
    const [target] = (await response.json()) as readonly { readonly webSocketDebuggerUrl: string }[];
    if (target === undefined) throw new Error('nothing to attach to');
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', reject, { once: true });
    });
    const probe = new ThreadProbe(socket);
    await probe.#ask('', 'NodeWorker.enable', { waitForDebuggerOnStart: false });
    return probe;
  }

  /** Collects all garbage of every thread, and says what is left. */
  async measure(): Promise<readonly ThreadMemory[]> {
    for (let round = 0; round < COLLECTIONS; round++) {
      for (const session of ['', ...this.#threads.values()]) await this.#ask(session, 'HeapProfiler.collectGarbage');
      await sleep(100);
    }
    const all: ThreadMemory[] = [];
    for (const [thread, session] of [['main', ''] as const, ...this.#threads]) {
      // Boundary: what `MEASURE` says.
      all.push({ thread, ...(JSON.parse(await this.#evaluate(session, MEASURE)) as Omit<ThreadMemory, 'thread'>) });
    }
    return all;
  }

  /** What is in a thread's heap. Takes seconds, and as much memory as the heap. */
  async objects(thread: string, file: string): Promise<ObjectCounts> {
    const session = this.#threads.get(thread);
    if (session === undefined) throw new Error(`no thread ${thread}`);
    const path = JSON.stringify(file);
    await this.#evaluate(session, `process.getBuiltinModule('node:v8').writeHeapSnapshot(${path})`);
    const counts = countObjects(readFileSync(file, 'utf8'));
    rmSync(file);
    return counts;
  }

  close(): void {
    this.#socket.close();
  }

  async #evaluate(session: string, expression: string): Promise<string> {
    const { result } = await this.#ask(session, 'Runtime.evaluate', { expression, returnByValue: true });
    if (result?.exceptionDetails !== undefined) throw new Error(JSON.stringify(result.exceptionDetails));
    return String(result?.result?.value);
  }

  #ask(session: string, method: string, params: object = {}): Promise<Message> {
    const id = this.#nextId++;
    const inner = JSON.stringify({ id, method, params });
    const outer = { id: this.#nextId++, method: 'NodeWorker.sendMessageToWorker' };
    this.#socket.send(
      session === '' ? inner : JSON.stringify({ ...outer, params: { sessionId: session, message: inner } }),
    );
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method} was not answered`)), ANSWER_TIMEOUT_MS);
      this.#answers.set(`${session} ${id}`, (message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }

  #hear(message: Message, session: string): void {
    const { params } = message;
    if (message.method === 'NodeWorker.attachedToWorker' && params?.sessionId !== undefined) {
      this.#threads.set(nameOf(params.workerInfo), params.sessionId);
    } else if (message.method === 'NodeWorker.receivedMessageFromWorker' && params?.message !== undefined) {
      this.#hear(JSON.parse(params.message) as Message, params.sessionId ?? '');
    } else if (message.id !== undefined) {
      this.#answers.get(`${session} ${message.id}`)?.(message);
      this.#answers.delete(`${session} ${message.id}`);
    }
  }
}

/** Node calls a thread `[worker 1] worker-0`. */
function nameOf(info: { readonly title: string } | undefined): string {
  return info?.title.replace(/^.*\] ?/, '') ?? 'unnamed';
}

/** The parts of V8's snapshot that are read here. */
interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: readonly string[]; readonly node_types: readonly [readonly string[]] };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

function countObjects(text: string): ObjectCounts {
  // Boundary: V8 wrote it.
  const { snapshot, nodes, strings } = JSON.parse(text) as Snapshot;
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [typeAt, nameAt, sizeAt] = ['type', 'name', 'self_size'].map((field) => fields.indexOf(field));
  if (typeAt === undefined || nameAt === undefined || sizeAt === undefined) throw new Error('an unknown snapshot');
  const counts = new Map<string, { count: number; bytes: number }>();
  for (let at = 0; at < nodes.length; at += fields.length) {
    const type = types[0][nodes[at + typeAt] ?? 0] ?? '';
    const own = type === 'object' || type === 'closure';
    const name = own ? `${type} ${strings[nodes[at + nameAt] ?? 0] ?? ''}` : `(${type})`;
    const entry = counts.get(name) ?? { count: 0, bytes: 0 };
    entry.count++;
    entry.bytes += nodes[at + sizeAt] ?? 0;
    counts.set(name, entry);
  }
  return counts;
}
