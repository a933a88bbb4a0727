/**
 * What one tenant's appetite does to the other, and to the sidecar's memory: nothing.
 */
import { batchRequest, readLabels, readPredictions, repeatedRequest } from '../inference-batch.ts';
import { SAMPLES } from '../models/samples.ts';
import type { Outcome } from '../outcome.ts';
import { formatMiB, residentBytes, watchPeak } from '../resident-memory.ts';
import { BYTE_ACCOUNT } from '../setup/configuration.ts';
import { GLOBEX_QUOTA } from '../stage.ts';
import { check, expectOutcome, type Step } from '../step.ts';

const BURST_CALLS = 40;

/** A burst into the quota of one caller. */
export const burst: Step = {
  title: `A burst of ${BURST_CALLS} calls runs into globex’s quota`,
  proves: 'The limit is exact, the answer says when to come back and means it, and the neighbour does not notice.',
  async run(stage) {
    const request = batchRequest('wine-cultivar', SAMPLES['wine-cultivar'].slice(0, 1));
    const started = performance.now();
    const calls = Array.from({ length: BURST_CALLS }, () => stage.globex.withToken.infer(request));
    const neighbour = await stage.acme.withToken.infer(batchRequest('digits', SAMPLES.digits.slice(0, 1)));
    const outcomes = await Promise.all(calls);
    const elapsedSeconds = (performance.now() - started) / 1000;

    const allowed = outcomes.filter((outcome) => outcome.code === 'OK').length;
    const refused = outcomes.filter((outcome) => outcome.code !== 'OK');
    const asQuota = refused.filter(({ code, reason }) => code === 'RESOURCE_EXHAUSTED' && reason === 'RATE_LIMITED');
    const refill = Math.floor(elapsedSeconds * Number.parseInt(GLOBEX_QUOTA.callerCalls, 10));
    const most = GLOBEX_QUOTA.callerBurst + refill + 1;
    const exact = allowed >= GLOBEX_QUOTA.callerBurst && allowed <= most;
    const waits = refused.map((outcome) => outcome.retryAfterMs ?? Number.NaN);
    const waitMs = Math.max(...waits);
    const honest = refused.every(pushesBack);
    await new Promise((resolve) => setTimeout(resolve, Number.isFinite(waitMs) ? waitMs : 0));
    const again = await stage.globex.withToken.infer(request);
    return {
      lines: [],
      checks: [
        check(
          `allowed, of a burst of ${GLOBEX_QUOTA.callerBurst} at ${GLOBEX_QUOTA.callerCalls}`,
          String(allowed),
          exact,
          `${GLOBEX_QUOTA.callerBurst} to ${most}`,
        ),
        check(
          'refused as RESOURCE_EXHAUSTED  RATE_LIMITED',
          String(asQuota.length),
          asQuota.length === BURST_CALLS - allowed && asQuota.length > 0,
          'all others',
        ),
        check(
          'RetryInfo, and grpc-retry-pushback-ms not below it',
          `${Math.ceil(waitMs)} ms`,
          honest && waitMs > 0,
          'on every refusal',
        ),
        expectOutcome(`globex again, ${Math.ceil(waitMs)} ms later`, again, 'OK'),
        expectOutcome('acme during the burst', neighbour, 'OK'),
      ],
    };
  },
};

const TENSOR_MIB = 64;
const BYTES_PER_ROW = 64 * 4;
const WARM_UP_ROWS = (16 * 1024 ** 2) / BYTES_PER_ROW;
const ROWS = (TENSOR_MIB * 1024 ** 2) / BYTES_PER_ROW;
/** What the sidecar's memory may rise by: far below the tensor, and the promise for a tensor of any size. */
const MAX_RISE_BYTES = 32 * 1024 ** 2;

/** A tensor that is larger than the tenant's byte account, through constant memory. */
export const largeTensor: Step = {
  title: `A tensor of ${TENSOR_MIB} MiB streams through, under an account of ${BYTE_ACCOUNT}`,
  proves:
    'Bytes move on as they arrive, all but the last, which waits for the verdict: memory does not grow with the message.',
  async run(stage) {
    const samples = SAMPLES.digits;
    const single = readPredictions((await stage.acme.withToken.infer(batchRequest('digits', samples))).response);
    // The first large message takes the buffers that all later ones use again: they are not what is measured here.
    await stage.acme.withToken.infer(repeatedRequest('digits', samples, WARM_UP_ROWS));
    const request = repeatedRequest('digits', samples, ROWS);
    const { pid } = stage.sidecar;
    const before = residentBytes(pid);
    const watch = watchPeak(pid);
    const outcome = await stage.acme.withToken.infer(request);
    const peak = watch.stop();
    const after = residentBytes(pid);
    const labels = readLabels(outcome.response);
    const wrong = labels.filter((label, row) => label !== single[row % samples.length]?.label).length;
    const intact = labels.length === ROWS && wrong === 0;
    const memory = [before, peak, after].map(formatMiB).join('  →  ');
    return {
      lines: [],
      checks: [
        expectOutcome(`ModelInfer digits, ${ROWS.toLocaleString('en')} rows`, outcome, 'OK'),
        check(
          'every row read as it is read alone',
          intact ? 'all' : `${labels.length - wrong} of ${ROWS}`,
          intact,
          'all',
        ),
        check(
          'sidecar’s memory: before  →  peak  →  after',
          memory,
          peak - before < MAX_RISE_BYTES,
          `a rise below ${formatMiB(MAX_RISE_BYTES)}`,
        ),
        check(
          'rise',
          formatMiB(Math.max(0, peak - before)),
          peak - before < MAX_RISE_BYTES,
          `below ${formatMiB(MAX_RISE_BYTES)}`,
        ),
      ],
    };
  },
};

/** A caller that heeds either of the two must not be told to come too early by one of them. */
function pushesBack({ retryAfterMs, pushbackMs }: Outcome<unknown>): boolean {
  return retryAfterMs !== undefined && pushbackMs !== undefined && pushbackMs >= Math.floor(retryAfterMs);
}
