/**
 * The attacker, in a process of its own: a tenant with a good certificate. Whenever it is sent away it comes back.
 */
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { FrameClient } from '../fakes/frame-client.ts';
import { Caller } from './caller.ts';
import { BENCH_ATTACKS, type BenchAttack } from './neighbour-attacks.ts';
import type { AttackOrder, Struck } from './neighbour-messages.ts';
import { NOISY_ATTACKS } from './noisy-attacks.ts';
import { obey } from './ordered-process.ts';

interface Ending {
  readonly how: string;
  /** Undefined: it was not ended. */
  readonly afterMs: number | undefined;
}

/** It was thrown out a moment ago, and is not let in yet (`limits.coolOff`). */
const TURNED_AWAY: Ending = { how: 'turned away', afterMs: undefined };

const HELD: Ending = { how: 'held', afterMs: undefined };

/** Between two pieces of what is dribbled. */
const DRIBBLE_MS = 20;

obey<AttackOrder, Struck>(async (order) => {
  const attack = BENCH_ATTACKS.get(order.attack) ?? NOISY_ATTACKS.get(order.attack);
  if (attack === undefined) throw new Error(`no attack is named ${order.attack}`);
  const until = performance.now() + order.seconds * 1_000;
  const endings: Ending[] = [];
  while (performance.now() < until) {
    endings.push(await strike(attack, order, until));
    await delay(order.pauseMs);
  }
  const ends: Record<string, number> = {};
  for (const { how } of endings) ends[how] = (ends[how] ?? 0) + 1;
  const times = endings.flatMap(({ afterMs }) => (afterMs === undefined ? [] : [afterMs]));
  return {
    times: endings.filter((ending) => ending !== TURNED_AWAY).length,
    ends,
    endedAfterMs: times.toSorted((one, other) => one - other)[times.length >> 1],
  };
});

function strike(attack: BenchAttack, order: AttackOrder, until: number): Promise<Ending> {
  switch (attack.kind) {
    case 'volleys':
    case 'patience':
      return overHttp2(attack, order, until);
    case 'handshakes':
      return Promise.all(
        Array.from({ length: attack.atOnce }, () => handshakes(attack.certificate, order, until)),
      ).then(() => HELD);
    case 'calls':
      return calls(attack, order, until);
    case 'silence':
      return silence(attack, order, until);
  }
}

async function overHttp2(
  attack: Extract<BenchAttack, { kind: 'volleys' | 'patience' }>,
  { target, caPem }: AttackOrder,
  until: number,
): Promise<Ending> {
  const pem = readFileSync(target.clientPem, 'utf8');
  const { port, serverName } = target;
  const access = { port, serverName, caPem, certPem: pem, keyPem: pem };
  const client = await FrameClient.connect(access).catch(() => undefined);
  if (client === undefined) return TURNED_AWAY;
  // Both have said their SETTINGS by then, and acknowledged the other's.
  await delay(10);
  const from = performance.now();
  const isOver = (): boolean => client.closed || client.goawayCode !== undefined || performance.now() > until;
  try {
    if (attack.kind === 'volleys') await fire(attack, client, isOver);
    else await wait(attack, client, isOver);
    const afterMs = performance.now() - from;
    if (client.goawayCode !== undefined) return { how: `GOAWAY(${client.goawayCode})`, afterMs };
    return client.closed ? { how: 'closed', afterMs } : { how: 'held', afterMs: undefined };
  } finally {
    client.close();
  }
}

async function fire(
  { opening, begin }: Extract<BenchAttack, { kind: 'volleys' }>,
  client: FrameClient,
  isOver: () => boolean,
): Promise<void> {
  const volley = begin();
  client.write(...opening);
  for (let round = 0; !isOver(); round++) {
    client.write(...volley(round));
    await turn();
  }
}

async function wait(
  { opening, reads, more }: Extract<BenchAttack, { kind: 'patience' }>,
  client: FrameClient,
  isOver: () => boolean,
): Promise<void> {
  if (!reads) client.stopReading();
  client.write(...opening);
  for (let round = 0; !isOver(); round++) {
    await delay(DRIBBLE_MS);
    if (more !== undefined) client.write(more(round));
  }
}

async function handshakes(certificate: boolean, { target, caPem }: AttackOrder, until: number): Promise<void> {
  const pem = readFileSync(target.clientPem, 'utf8');
  while (performance.now() < until) {
    const socket = connectTls({
      ...{ host: '127.0.0.1', port: target.port, servername: target.serverName, ca: caPem, ALPNProtocols: ['h2'] },
      ...(certificate ? { cert: pem, key: pem } : {}),
    });
    socket.on('error', () => undefined).resume();
    if (certificate) socket.once('secureConnect', () => socket.destroy());
    await new Promise((resolve) => socket.once('close', resolve));
  }
}

/** Each connection makes its calls until the time is over or it is sent away. */
async function calls(
  attack: Extract<BenchAttack, { kind: 'calls' }>,
  { target }: AttackOrder,
  until: number,
): Promise<Ending> {
  const from = performance.now();
  const endings = await Promise.all(
    Array.from({ length: attack.connections }, async () => {
      const caller = await Caller.open(target).catch(() => undefined);
      if (caller === undefined) return TURNED_AWAY;
      await new Promise<void>((resolve) => {
        let running = 0;
        const isOver = (): boolean => performance.now() > until || !caller.usable;
        const begin = (): void => {
          running += 1;
          caller.call(attack.head(target.serverName), attack.message, () => {
            running -= 1;
            // Not in the same turn: what is refused at once would never let go.
            setImmediate(next);
          });
        };
        const next = (): void => {
          if (!isOver()) begin();
          else if (running === 0) resolve();
        };
        for (let index = 0; index < attack.atOnce && !isOver(); index++) begin();
        if (running === 0) resolve();
      });
      const ended = !caller.usable;
      caller.close();
      return ended ? { how: 'closed', afterMs: performance.now() - from } : HELD;
    }),
  );
  return endings[0] ?? HELD;
}

async function silence(
  { connections, beginning }: Extract<BenchAttack, { kind: 'silence' }>,
  { target }: AttackOrder,
  until: number,
): Promise<Ending> {
  const sockets = new Set<Socket>();
  while (performance.now() < until) {
    while (sockets.size < connections) {
      const socket = createConnection(target.port, '127.0.0.1');
      socket.on('error', () => undefined).resume();
      socket.on('close', () => sockets.delete(socket));
      socket.write(beginning);
      sockets.add(socket);
    }
    await delay(DRIBBLE_MS);
  }
  for (const socket of sockets) socket.destroy();
  return HELD;
}
