import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  HealthAnswer,
  MAX_HEALTH_MESSAGE_BYTES,
  MAX_HEALTH_MESSAGES,
  servingStatusOf,
} from '../../../src/proxy/health-answer.ts';
import type { Observation } from '../../../src/proxy/upstream-health.ts';
import { frame } from '../../fakes/raw-grpc-client.ts';

const HEAD = [':status', '200', 'content-type', 'application/grpc'];
const OK = ['grpc-status', '0'];
const word = (status: number): Buffer => frame(Buffer.from([8, status]));
const NOTHING = Buffer.alloc(0);

/** A whole answer to Check. */
function checked(message: Buffer, trailers: readonly string[] = OK): Observation | undefined {
  const answer = new HealthAnswer('Check');
  return answer.headers(HEAD, false) ?? answer.data(message, false) ?? answer.headers(trailers, true);
}

/** A Watch that has begun. */
function watching(): HealthAnswer {
  const answer = new HealthAnswer('Watch');
  expect(answer.headers(HEAD, false)).toBeUndefined();
  return answer;
}

describe('an answer to Check', () => {
  it.each([
    [1, { kind: 'serving' }],
    [0, { kind: 'not_serving', why: 'UNKNOWN' }],
    [2, { kind: 'not_serving', why: 'NOT_SERVING' }],
    [3, { kind: 'not_serving', why: 'SERVICE_UNKNOWN' }],
    [7, { kind: 'not_serving', why: 'UNKNOWN' }],
  ])('of status %d', (status, observation) => {
    expect(checked(word(status))).toEqual(observation);
  });

  it('of no bytes has the status that is left away', () => {
    expect(checked(frame(NOTHING))).toEqual({ kind: 'not_serving', why: 'UNKNOWN' });
  });

  it('counts when it is whole, in whatever pieces it comes', () => {
    const answer = new HealthAnswer('Check');
    answer.headers([':status', '103'], false);
    answer.headers(HEAD, false);
    for (const byte of word(1)) expect(answer.data(Buffer.from([byte]), false)).toBeUndefined();
    expect(answer.headers(OK, true)).toEqual({ kind: 'serving' });
  });

  it.each([
    ['no service', '12', { kind: 'no_service' }],
    ['a service that it does not know', '5', { kind: 'not_serving', why: 'SERVICE_UNKNOWN' }],
    ['another status', '16', { kind: 'failed', why: 'UNAUTHENTICATED is its answer' }],
    ['a status that is none', 'x', { kind: 'failed', why: 'UNKNOWN is its answer' }],
  ])('that has %s', (_, status, observation) => {
    expect(new HealthAnswer('Check').headers([...HEAD, 'grpc-status', status], true)).toEqual(observation);
  });

  it.each([
    ['404', { kind: 'no_service' }],
    ['503', { kind: 'failed', why: 'UNAVAILABLE is not gRPC' }],
    ['200', { kind: 'failed', why: 'UNKNOWN is not gRPC' }],
  ])('in HTTP %s only', (status, observation) => {
    expect(new HealthAnswer('Check').headers([':status', status, 'content-type', 'text/html'], false)).toEqual(
      observation,
    );
  });

  const broken: readonly (readonly [string, (answer: HealthAnswer) => Observation | undefined])[] = [
    ['ends without a message', (answer) => answer.headers(OK, true)],
    ['ends without a status', (answer) => answer.data(word(1), false) ?? answer.headers(['x', '1'], true)],
    ['ends without trailers', (answer) => answer.data(word(1), true)],
    [
      'ends in the middle of a message',
      (answer) => answer.data(word(1).subarray(0, 6), false) ?? answer.headers(OK, true),
    ],
    ['has two messages', (answer) => answer.data(Buffer.concat([word(1), word(1)]), false)],
    ['has a further header block', (answer) => answer.headers(HEAD, false)],
    ['is compressed', (answer) => answer.data(Buffer.from([1, 0, 0, 0, 2, 8, 1]), false)],
    ['is no protobuf', (answer) => answer.data(frame(Buffer.from([0xff])), false)],
  ];
  it.each(broken)('that %s is none', (_, what) => {
    const answer = new HealthAnswer('Check');
    answer.headers(HEAD, false);
    expect(what(answer)).toMatchObject({ kind: 'failed' });
  });

  it('may be as long as the limit, and not one byte longer', () => {
    const long = (bytes: number): Buffer =>
      frame(
        Buffer.concat([
          Buffer.from([8, 1, 0x12, 0x80 | ((bytes - 5) & 0x7f), (bytes - 5) >> 7]),
          Buffer.alloc(bytes - 5),
        ]),
      );
    expect(checked(long(MAX_HEALTH_MESSAGE_BYTES))).toEqual({ kind: 'serving' });
    expect(checked(long(MAX_HEALTH_MESSAGE_BYTES + 1))).toEqual({ kind: 'failed', why: 'a message that is too long' });
  });

  it('may have a few informational responses before it, and no end of them', () => {
    const answer = new HealthAnswer('Check');
    for (let i = 0; i < 8; i++) expect(answer.headers([':status', '103'], false)).toBeUndefined();
    expect(answer.headers([':status', '103'], false)).toMatchObject({ kind: 'failed' });
  });
});

describe('an answer to Watch', () => {
  it('counts with each message, and takes nothing back by its end', () => {
    const answer = watching();
    expect(answer.data(word(1), false)).toEqual({ kind: 'serving' });
    expect(answer.data(Buffer.concat([word(1), word(2)]), false)).toEqual({ kind: 'not_serving', why: 'NOT_SERVING' });
    expect(answer.headers(['grpc-status', '14'], true)).toBeUndefined();
  });

  it('that ends before it has said anything is none, or says that there is no Watch', () => {
    expect(watching().headers(OK, true)).toMatchObject({ kind: 'failed' });
    expect(watching().headers(['grpc-status', '12'], true)).toEqual({ kind: 'no_service' });
  });

  it('may have as many messages as the limit, and not one more', () => {
    const answer = watching();
    for (let i = 0; i < MAX_HEALTH_MESSAGES; i++) expect(answer.data(word(1), false)).toEqual({ kind: 'serving' });
    expect(answer.data(word(1), false)).toEqual({ kind: 'failed', why: 'too many messages' });
  });
});

describe('any bytes', () => {
  it('are an answer or none, and never more', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), fc.boolean(), (chunks, watch) => {
        const answer = new HealthAnswer(watch ? 'Watch' : 'Check');
        answer.headers(HEAD, false);
        for (const chunk of chunks) {
          const observation = answer.data(Buffer.from(chunk), false);
          if (observation?.kind === 'failed') return;
        }
      }),
    );
  });

  it('of a message are read as a protobuf decoder would: the last status counts, the rest is stepped over', () => {
    const fields = [0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 2, 8, 2, 0x08, 2, 0x08, 1];
    expect(servingStatusOf(Buffer.from(fields))).toBe(1);
    for (let cut = 1; cut < 4; cut++) expect(servingStatusOf(Buffer.from(fields.slice(0, cut)))).toBeUndefined();
    expect(servingStatusOf(Buffer.from([0x0b]))).toBeUndefined();
    expect(servingStatusOf(Buffer.from([0x00, 0x01]))).toBeUndefined();
    expect(servingStatusOf(Buffer.alloc(20, 0xff))).toBeUndefined();
  });
});
