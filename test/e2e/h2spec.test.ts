/**
 * Judge: h2spec, all cases of RFC 7540 and RFC 7541 and the strict one, through the byte tunnel, so that it sees the sidecar's own
 * frames. It asks with GET and POST, of no content type: the sidecar hears it out and answers 415, with a line of text.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { H2SPEC_STRICT_CASES, judgeWithH2spec } from './harness/h2spec.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address }],
    // It breaks the protocol a hundred times in a row, and must be let in each time.
    extra: { limits: { coolOff: '0s' } },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

describe('h2spec', () => {
  it('passes every case against the sidecar, which then still serves', async () => {
    const tunnel = await sidecar.tunnel('acme');
    const score = await judgeWithH2spec(tunnel.port, ['--strict']);
    process.stdout.write(`h2spec --strict: ${score.passed} of ${score.total}\n`);
    expect(score.failed, score.output).toEqual([]);
    expect(score.passed).toBe(H2SPEC_STRICT_CASES);
    expect(await sidecar.admin('/readyz')).toMatchObject({ status: 200 });
  });
});
