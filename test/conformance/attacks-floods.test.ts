/**
 * Attacks by number: frames that cost the sender nothing (CVE-2019-9511 to 9518, CVE-2024-27316 and the rest of the CONTINUATION
 * flood), and header blocks that cost more to hold than to send.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { bombs, CALL, floods, nth } from '../fakes/attack-frames.ts';
import { evidenceOf, expectSurvived, underAttack, volleys } from '../fakes/attack-ground.ts';
import { headerFrame } from '../fakes/frame-client.ts';

const evidence: string[] = [];
afterAll(() => void process.stdout.write(evidence.join('')));

describe('an attacker that floods', () => {
  it.each(floods)('with $name is gone within a second', async ({ name, reason, opening, frame }) => {
    const verdict = await underAttack({
      run: (attacker, over) => {
        attacker.write(...(opening ?? []));
        return volleys(over, (round) => {
          attacker.write(...Array.from({ length: 100 }, (_, index) => frame(100 * round + index)));
        });
      },
    });
    evidence.push(evidenceOf(name, verdict));
    expectSurvived(verdict, reason);
  });
});

describe('an attacker whose header blocks grow', () => {
  it.each(bombs)('$name is gone within a second', async ({ name, reason, begin }) => {
    const volley = begin();
    const verdict = await underAttack({
      run: (attacker, over) => volleys(over, (round) => attacker.write(...volley(round))),
    });
    evidence.push(evidenceOf(name, verdict));
    expectSurvived(verdict, reason);
    expect(verdict.dispatched).toBe(0);
  });

  it('into streams without end (headers without END_STREAM) is gone within a second', async () => {
    const verdict = await underAttack({
      run: (attacker, over) =>
        volleys(over, (round) => {
          for (let index = 50 * round; index < 50 * (round + 1); index++) {
            attacker.write(headerFrame(nth(index), CALL, false));
          }
        }),
    });
    evidence.push(evidenceOf('headers without END_STREAM', verdict));
    expectSurvived(verdict, 'HTTP2_LIMIT_provokedResets');
    expect(verdict.dispatched).toBe(0);
  });
});
