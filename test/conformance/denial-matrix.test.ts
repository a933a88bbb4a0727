/**
 * The denial matrix: every method of every adapter × everything that must keep a caller out. Each refusal has its exact status
 * and reason, is on record, and never reaches the model server; and each has its counter-proofs: the same call with the one
 * thing right that was wrong gets through, and so does the attack itself when the configuration is without the check.
 *
 * The methods come from the descriptors (`denial-matrix/methods.ts`): a new one is tried on every row without a change here.
 * The rows lie on two axes: what names the caller (certificate, token, API key), and what is wrong with it, or what the caller
 * lacks (`denial-matrix/check.ts`).
 *
 * To add a row, add a `Check` to one of the files `denial-matrix/…-checks.ts`; a role that lacks something is
 * one line of `ROLE_ROWS`, and is tried with each kind of credential. To add an aspect, name it in `check.ts` besides. If a
 * combination had a reason for not being there (`CREDENTIAL_GAPS`), take the reason away. Then
 *
 *   npx vitest run --project conformance denial-matrix -u
 *
 * writes `uncovered.txt`, which lists every combination that is not tried, with its reason. Without `-u` a difference fails.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeUpstream } from '../fakes/fake-upstream.ts';
import { makeActors } from './denial-matrix/actors.ts';
import { AUTHORIZATION_GAPS, authorizationChecks } from './denial-matrix/authorization-checks.ts';
import { type Check, OPEN, type Tenants } from './denial-matrix/check.ts';
import { CREDENTIAL_GAPS, credentialChecks } from './denial-matrix/credential-checks.ts';
import { MatrixGround, type Outcomes } from './denial-matrix/ground.ts';
import { type MatrixMethod, METHODS, SERVERS } from './denial-matrix/methods.ts';
import { revocationChecks, startResponder } from './denial-matrix/revocation-checks.ts';
import { ruleChecks } from './denial-matrix/rule-checks.ts';
import { NO_REASON, uncoveredText } from './denial-matrix/uncovered.ts';

const actors = makeActors();
const responder = await startResponder(actors);
const CHECKS: readonly Check[] = [
  ...credentialChecks(actors),
  ...revocationChecks(actors, responder),
  ...authorizationChecks(actors),
  ...ruleChecks(actors),
];
const GAPS = [...CREDENTIAL_GAPS, ...AUTHORIZATION_GAPS];
const methodsOf = ({ cannot }: Check, methods = METHODS): readonly MatrixMethod[] =>
  methods.filter((method) => cannot?.(method) === undefined);
const size = CHECKS.reduce((sum, check) => sum + methodsOf(check).length, 0);

let upstream: FakeUpstream;
beforeAll(async () => {
  upstream = await FakeUpstream.start();
});
afterAll(async () => {
  responder.stop();
  await upstream.stop();
});

/** Tries something on each model server that has such methods. */
async function on(
  tenants: Tenants,
  methodsAmong: (methods: readonly MatrixMethod[]) => readonly MatrixMethod[],
  attempt: (ground: MatrixGround, methods: readonly MatrixMethod[]) => Promise<void>,
): Promise<void> {
  for (const server of SERVERS) {
    const methods = methodsAmong(server.methods);
    if (methods.length === 0) continue;
    const ground = await MatrixGround.start(actors, upstream, { tenants, server });
    try {
      await attempt(ground, methods);
    } finally {
      await ground.stop();
    }
  }
}

function each(methods: readonly MatrixMethod[], outcome: string): Outcomes {
  return Object.fromEntries(methods.map(({ fullName }) => [fullName, outcome]));
}

/** The attack, under the configuration that refuses. */
async function isRefused({ refusal, attack, before }: Check, ground: MatrixGround, methods: readonly MatrixMethod[]) {
  const end = await before?.(ground);
  const seen = upstream.calls.length;
  const outcomes = await ground.callAll(methods, attack);
  if ('door' in refusal) {
    expect(outcomes).toEqual(each(methods, 'no connection'));
    expect(await ground.refusalsOnRecord()).toEqual([refusal.door]);
  } else {
    expect(outcomes).toEqual(each(methods, `${refusal.status} ${refusal.reason}`));
    expect(await ground.deniedOnRecord()).toEqual(each(methods, String(refusal.status)));
  }
  expect(upstream.calls.length).toBe(seen);
  await end?.();
}

const title = `${METHODS.length} methods × ${CHECKS.length} rows: ${size} refusals`;

describe(title, () => {
  afterAll(() => void process.stdout.write(`the denial matrix: ${title}\n`));

  describe.each(CHECKS)('$kind, $aspect: $name', (check) => {
    const { strict, satisfied, lax, before } = check;
    const among = (methods: readonly MatrixMethod[]) => methodsOf(check, methods);

    it('is refused at every method, on record and not upstream', () =>
      on(strict, among, (ground, methods) => isRefused(check, ground, methods)));

    if (!('notShown' in satisfied)) {
      it('gets through when it is right', () =>
        on(strict, among, async (ground, methods) => {
          await (await before?.(ground))?.();
          expect(await ground.callAll(methods, satisfied, 'in turn')).toEqual(each(methods, '0'));
        }));
    }
    if (!('notShown' in lax)) {
      it('gets through when the check is taken away', () =>
        on(lax, among, async (ground, methods) => {
          expect(await ground.callAll(methods, check.attack, 'in turn')).toEqual(each(methods, '0'));
        }));
    }
  });
});

describe('the matrix', () => {
  it('covers every combination of its axes, or says why not in uncovered.txt', async () => {
    const text = uncoveredText(CHECKS, METHODS, GAPS);
    expect(text).not.toContain(NO_REASON);
    await expect(text).toMatchFileSnapshot('uncovered.txt');
  });

  it('gives no reason for a gap that is none, and proves every row in one way at least', () => {
    const covered = new Set(CHECKS.map(({ kind, aspect }) => `${kind} ${aspect}`));
    expect(GAPS.filter(({ kind, aspect }) => covered.has(`${kind} ${aspect}`))).toEqual([]);
    expect(CHECKS.filter(({ satisfied, lax }) => 'notShown' in satisfied && 'notShown' in lax)).toEqual([]);
  });

  it('has each row once', () => {
    const names = CHECKS.map(({ kind, aspect, name }) => `${kind} ${aspect} ${name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it('an unknown method is UNIMPLEMENTED, also of a known service', async () => {
    await on(OPEN, unknownAmong, async (ground, unknown) => {
      const seen = upstream.calls.length;
      expect(await ground.callAll(unknown, () => ({}))).toEqual(each(unknown, '12 METHOD_UNKNOWN'));
      expect(upstream.calls.length).toBe(seen);
    });
  });
});

/** Names that look like those of a server's methods. */
function unknownAmong(methods: readonly MatrixMethod[]): readonly MatrixMethod[] {
  const [infer] = methods.filter(({ fullName }) => fullName.endsWith('/ModelInfer'));
  if (infer === undefined) throw new Error('no ModelInfer');
  const services = [...new Set(methods.map(({ service }) => service))].filter((name) => !name.endsWith('Opaque'));
  return [
    ...services.map((service) => `${service}/ModelInferX`),
    'acme.v1.Scoring/Secret',
    'other.Service/Method',
    'x',
    `${infer.fullName}/`,
    `/${infer.fullName}`,
    infer.fullName.replace('Infer', '%49nfer'),
  ].map((fullName) => ({ ...infer, fullName }));
}
