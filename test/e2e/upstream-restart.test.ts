/**
 * The model server dies under load and comes back in its place: calls that were at it, or came before it was back, are told that
 * it is unavailable; none hangs, none is answered wrongly, and all that come later are served.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { accepts, Child } from './harness/child.ts';
import { freePort } from './harness/free-port.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const MODEL = fileURLToPath(new URL('./harness/model-process.ts', import.meta.url));

let port: number;
let model: Child;
let sidecar: Sidecar;

beforeEach(async () => {
  port = await freePort();
  model = await startModel();
  sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: `http://127.0.0.1:${port}` }] });
});

afterEach(async () => {
  await sidecar?.stop();
  await model?.stop();
});

async function startModel(): Promise<Child> {
  const child = await Child.spawn('the model server', { command: process.execPath, args: [MODEL, String(port)] });
  await child.until('listening', () => accepts(port));
  return child;
}

/** A refused connect is tried again after 100 ms, ± 50 %; twice as long after the next. */
const BACK_OFF_MS = 500;
const CALL_MS = 100;

it('a model server that is restarted under load fails the calls that it had, and no other', async () => {
  const clients = Array.from({ length: 4 }, () => tenantClient(sidecar, 'acme'));
  const load = new SteadyLoad(clients, 8, 'digits', CALL_MS);
  const outages: { readonly from: number; readonly to: number }[] = [];
  for (let round = 0; round < 3; round++) {
    await sleep(1_000);
    const from = Date.now();
    model.signal('SIGKILL');
    await model.exit(5_000);
    model = await startModel();
    outages.push({ from, to: Date.now() });
  }
  await sleep(1_500);
  const running = load.calls.length;
  await until('calls after the last restart', () => (load.calls.length > running + 64 ? true : undefined), 10_000);
  const calls = await load.stop();
  for (const client of clients) client.close();

  const { failed } = load;
  expect(failed.length).toBeGreaterThan(0);
  expect([...new Set(failed.map(({ code }) => code))]).toEqual(['UNAVAILABLE']);
  const unexplained = failed.filter(
    (call) => !outages.some(({ from, to }) => call.startedAt <= to + BACK_OFF_MS && call.endedAt >= from),
  );
  expect(unexplained).toEqual([]);
  // None has hung: whoever was not answered was told at once.
  expect(Math.max(...calls.map((call) => call.endedAt - call.startedAt))).toBeLessThan(CALL_MS + 1_000);
  const answered = calls.length - failed.length;
  expect(answered).toBeGreaterThan(500);
});
