/**
 * The neighbour: another tenant's client, in a process of its own. It calls at the times of a steady rate, whether or not earlier calls
 * were answered, and measures each from when it was sent: what keeps this process from sending is not the sidecar's doing.
 */
import type { HeaderBlock } from '../../src/http2/contract.ts';
import { Caller, requestHead } from './caller.ts';
import { modelInfer } from './message.ts';
import type { CallOrder, Felt } from './neighbour-messages.ts';
import { obey } from './ordered-process.ts';

/** Calls that may be late at the end, before they count as failed. */
const LAST_CALLS_MS = 3_000;
const MESSAGE = modelInfer(100);

obey<CallOrder, Felt>(async ({ target, callsPerSecond, connections, seconds }) => {
  const callers: Caller[] = [];
  try {
    for (let i = 0; i < connections; i++) callers.push(await Caller.open(target));
    return await callAtRate(callers, requestHead(target.serverName, undefined), callsPerSecond, seconds);
  } finally {
    for (const caller of callers) caller.close();
  }
});

async function callAtRate(
  callers: readonly Caller[],
  head: HeaderBlock,
  callsPerSecond: number,
  seconds: number,
): Promise<Felt> {
  const took: number[] = [];
  const late: number[] = [];
  let answered = 0;
  let failed = 0;
  const startedAt = performance.now();
  const total = callsPerSecond * seconds;
  const end = startedAt + seconds * 1_000 + LAST_CALLS_MS;
  await new Promise<void>((resolve) => {
    let sent = 0;
    const tick = (): void => {
      const now = performance.now();
      if (answered + failed >= total || now > end) return resolve();
      for (; sent < total; sent++) {
        const due = startedAt + (sent * 1_000) / callsPerSecond;
        if (due > now) break;
        const caller = callers[sent % callers.length];
        if (caller === undefined || !caller.usable) {
          failed++;
          continue;
        }
        late.push(now - due);
        const sentAt = performance.now();
        caller.call(head, MESSAGE, ({ grpcStatus }) => {
          took.push(performance.now() - sentAt);
          if (grpcStatus === '0') answered++;
          else failed++;
        });
      }
      setTimeout(tick, 1);
    };
    tick();
  });
  const at = (values: readonly number[], share: number): number =>
    values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? Number.NaN;
  return {
    calls: took.length,
    failed: failed + (total - answered - failed),
    p50Ms: at(took, 0.5),
    p99Ms: at(took, 0.99),
    slowestMs: Math.max(...took),
    sentLateP99Ms: at(late, 0.99),
  };
}
