/**
 * The soak's misbehaving neighbour: a tenant with a good certificate that floods. The sidecar ends its connection; nobody else may
 * feel it.
 */
import { FLAG, FRAME, frame, literalHeaders, RawConnection } from '../e2e/harness/raw-connection.ts';
import { until } from '../e2e/harness/until.ts';
import type { Ground } from './ground.ts';
import { INFER } from './kinds.ts';
import type { Ledger, SoakCall } from './ledger.ts';

const RESETS = 300;
const PINGS = 2_000;
const PING = 6;
const CLOSED_WITHIN_MS = 15_000;
const CANCEL = Buffer.from([0, 0, 0, 8]);

/** Opens streams and resets each at once (CVE-2023-44487), until it is thrown out. */
export async function resetFlood(ground: Ground, ledger: Ledger): Promise<string> {
  const connection = await RawConnection.openHttp2(ground.sidecar, 'rogue');
  const calls: SoakCall[] = [];
  for (let i = 0; i < RESETS; i++) {
    const call = ledger.begin({
      kind: 'flood',
      tenant: 'rogue',
      via: 'direct',
      allowed: [],
      selfCut: 'connection',
      mayBeUnsent: true,
    });
    calls.push(call);
    const headers = literalHeaders([
      [':method', 'POST'],
      [':scheme', 'https'],
      [':path', INFER],
      [':authority', 'rogue.models.test'],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ['traceparent', `00-${call.traceId}-${call.id.toString(16).padStart(16, '0')}-01`],
    ]);
    const stream = 2 * i + 1;
    connection.write(frame(FRAME.headers, FLAG.endHeaders, stream, headers), frame(FRAME.rstStream, 0, stream, CANCEL));
  }
  try {
    return await thrownOut(connection);
  } finally {
    for (const call of calls) ledger.end(call, { kind: 'connection' });
  }
}

/** Sends PINGs without a pause (CVE-2019-9512), until it is thrown out. */
export async function pingFlood(ground: Ground): Promise<string> {
  const connection = await RawConnection.openHttp2(ground.sidecar, 'rogue');
  const ping = frame(PING, 0, 0, Buffer.alloc(8));
  for (let i = 0; i < PINGS; i++) connection.write(ping);
  return thrownOut(connection);
}

async function thrownOut(connection: RawConnection): Promise<string> {
  try {
    await until('the connection is closed', () => (connection.closed ? true : undefined), CLOSED_WITHIN_MS, 20);
    return connection.frames.some(({ type }) => type === FRAME.goaway) ? 'GOAWAY, closed' : 'closed';
  } finally {
    connection.destroy();
  }
}
