import { describe, expect, it } from 'vitest';
import type { Connection, Stream } from '../../../src/http2/contract.ts';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { ConnectionAge } from '../../../src/proxy/connection-age.ts';
import type { Refusal } from '../../../src/proxy/refusals.ts';
import { Refusals } from '../../../src/proxy/refusals.ts';
import { Session, type SessionHost } from '../../../src/proxy/session.ts';
import type { TenantRuntime } from '../../../src/proxy/tenant-runtime.ts';
import { TEST_LIMITS } from '../../fakes/in-process-sidecar.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const acme = fakeTenant('acme');

function sessionWith(tenant: TenantRuntime | undefined): {
  readonly session: Session;
  readonly refused: Refusal[];
  readonly said: string[];
  readonly ended: Session[];
} {
  const refused: Refusal[] = [];
  const ended: Session[] = [];
  const said: string[] = [];
  const refusals = new Refusals(
    () => micros(1),
    (record) => refused.push(record),
    () => undefined,
  );
  const host: SessionHost = {
    refusals,
    traffic: { running: 0, begun: 0 },
    services: () => {
      throw new Error('no call begins');
    },
    tenant: () => tenant,
    ended: (session) => ended.push(session),
  };
  const session = new Session(host, acme.peer(), 'acme.models.test', { connections: 1 });
  // What a session asks of its connection, and no more.
  const connection: Partial<Connection> = {
    drain: () => said.push('drain'),
    destroy: (code, why) => said.push(`destroy ${code} ${why}`),
  };
  session.attach(connection as Connection, new ConnectionAge(TEST_LIMITS, session));
  return { session, refused, said, ended };
}

/** A stream that notes its reset. */
function streamOf(resets: number[], credited: number[] = []): Stream {
  const stream: Partial<Stream> = { reset: (code) => resets.push(code), credit: (bytes) => credited.push(bytes) };
  return stream as Stream;
}

// Of the tenant, a session looks at its slot before anything else.
const otherSlot = { config: { ...acme.config, slot: 3 } } as TenantRuntime;
const sameSlot = { config: acme.config } as TenantRuntime;

describe('a session', () => {
  it.each([
    ['whose tenant is gone', undefined, false, 'TENANT_REMOVED'],
    ['whose tenant left and is back', otherSlot, false, 'TENANT_REMOVED'],
    ['whose certificate is trusted no more', sameSlot, true, 'PEER_NO_LONGER_TRUSTED'],
  ])('%s refuses streams as never looked at, and puts them on record', async (_name, tenant, distrusted, reason) => {
    const { session, refused } = sessionWith(tenant);
    if (distrusted) session.distrust();
    const resets: number[] = [];
    const credited: number[] = [];
    const stream = streamOf(resets, credited);
    const owner = session.onStream(stream, [], false);
    owner.onData(stream, Buffer.alloc(7), false);
    await Promise.resolve();
    expect([resets, credited, session.calls]).toEqual([[ErrorCode.REFUSED_STREAM], [7], 0]);
    session.onEnd({} as Connection, { kind: 'closed' });
    expect(refused).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    expect(refused).toMatchObject([{ reason, tenantClaim: 'acme', serverName: 'acme.models.test' }]);
  });

  it('passes the drain and its limit on to the connection', () => {
    const { session, said } = sessionWith(sameSlot);
    session.drain();
    session.destroy('the drain limit has passed');
    expect(said).toEqual(['drain', `destroy ${ErrorCode.NO_ERROR} the drain limit has passed`]);
  });

  it('ends with its connection, whatever ended it', () => {
    const { session, ended } = sessionWith(sameSlot);
    session.onEnd({} as Connection, { kind: 'idle' });
    expect(ended).toEqual([session]);
  });
});
