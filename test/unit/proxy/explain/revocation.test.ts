/** What an explanation says of a client whose CA's responder is asked. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OcspConfig } from '../../../../src/config/credentials-config.ts';
import { type Explanation, explain } from '../../../../src/proxy/explain/explanation.ts';
import { binding, credentials, question, role } from '../../../fakes/explain.ts';
import { FakeResponder, type OcspParts, ocspResponse } from '../../../fakes/ocsp-responses.ts';
import { fakeTenant } from '../../../fakes/trust.ts';

const acme = fakeTenant('acme', { roles: [role()], bindings: [binding({ certificates: ['*'] })] });

let responder: FakeResponder;
beforeEach(async () => {
  responder = await FakeResponder.start();
});
afterEach(() => responder.stop());

async function explained(
  parts: OcspParts,
  changes: Partial<OcspConfig> = {},
  allowAddresses: readonly string[] = ['127.0.0.0/8'],
): Promise<Explanation> {
  responder.says(() => ocspResponse(acme.pki.ca, acme.pki.client, parts));
  const ocsp: OcspConfig = {
    responder: { url: responder.url, caPem: undefined, allowHttp: false },
    ...{ whenUnknown: 'refuse', timeoutMs: 2_000, maxAgeMs: 60_000, hash: 'sha1', nonce: false },
    ...changes,
  };
  const lists = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 } as const;
  const tenant = { ...acme.config, clientRevocation: { ...lists, ocsp } };
  const certificate = { kind: 'presented', pem: acme.pki.client.certPem } as const;
  const asked = question({ credentials: credentials({ certificate }) });
  const answer = await explain({ tenants: [tenant], fetching: { allowAddresses } }, asked);
  if (!answer.ok) throw new Error(answer.error);
  return answer.value;
}

describe('of a client that a responder is asked about, an explanation', () => {
  it('asks it, and says that the call is allowed when it is good', async () => {
    expect(await explained({})).toMatchObject({ verdict: 'allowed', refusal: undefined });
    expect(responder.asked).toBe(1);
  });

  it('says at the first gate who has taken its certificate back', async () => {
    const { gates, refusal } = await explained({ status: 'revoked' }, { whenUnknown: 'allow' });
    expect(gates[0]).toMatchObject({ gate: 'identify', verdict: 'deny' });
    expect(refusal).toMatchObject({
      kind: 'certificate_unacceptable',
      why: 'it is revoked by OCSP responder of CN=acme test CA',
    });
  });

  it.each<[string, OcspParts, readonly string[], string]>([
    ['does not know it', { status: 'unknown' }, ['127.0.0.0/8'], 'the OCSP responder does not know the certificate'],
    ['may not be asked', {}, [], '127.0.0.1 is a loopback address'],
  ])(
    'says why it is refused when the responder %s, and allows it where that may be',
    async (_name, parts, may, why) => {
      const { verdict, refusal } = await explained(parts, {}, may);
      expect(verdict).toBe('denied');
      expect(refusal?.why).toContain('no OCSP answer: ');
      expect(refusal?.why).toContain(why);
      expect(refusal?.allow.join()).toContain('clientRevocation');
      expect((await explained(parts, { whenUnknown: 'allow' }, may)).verdict).toBe('allowed');
    },
  );
});
