/**
 * Does something to one thread of a running sidecar from outside, by Node's own inspector protocol: the product needs no hook for
 * it.
 */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly sessionId?: string;
    readonly workerInfo?: { readonly title: string; readonly url: string };
  };
}

/** Ends the first thread whose script matches, as an uncaught crash would: without any of its own clean-up. */
export function killThread(inspectorPort: number, script: RegExp): Promise<void> {
  return evaluateInThread(inspectorPort, script, 'process.exit(3)');
}

/** Has the first thread whose script matches evaluate an expression. Does not wait for its value. */
export async function evaluateInThread(inspectorPort: number, script: RegExp, expression: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${inspectorPort}/json`);
  // Boundary: Node's inspector says what there is to attach to.
  const [target] = (await response.json()) as readonly { readonly webSocketDebuggerUrl: string }[];
  if (target === undefined) throw new Error('nothing to attach to');
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  const sessionId = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no thread runs ${script}`)), 5_000);
    socket.addEventListener('message', (event) => {
      // Boundary: as above.
      const message = JSON.parse(String(event.data)) as Message;
      if (message.method !== 'NodeWorker.attachedToWorker' || message.params?.sessionId === undefined) return;
      if (!script.test(message.params.workerInfo?.url ?? '')) return;
      clearTimeout(timer);
      resolve(message.params.sessionId);
    });
    socket.send(JSON.stringify({ id: 1, method: 'NodeWorker.enable', params: { waitForDebuggerOnStart: false } }));
  });
  const evaluate = { id: 1, method: 'Runtime.evaluate', params: { expression } };
  socket.send(
    JSON.stringify({
      id: 2,
      method: 'NodeWorker.sendMessageToWorker',
      params: { sessionId, message: JSON.stringify(evaluate) },
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.close();
}
