/**
 * Credentials that are good in themselves and were taken back: by a deny list, by the CA's own revocation list, or by its responder.
 */
import { X509Certificate } from 'node:crypto';
import type { DeniedCredential } from '../../../src/config/credentials-config.ts';
import { normalSerial } from '../../../src/config/denied.ts';
import { issueClient } from '../../../src/identity/issue.ts';
import { readRevocationLists } from '../../../src/identity/revocation-list-reader.ts';
import { FakeResponder, ocspResponse, subjectFor } from '../../fakes/ocsp-responses.ts';
import { type ListOptions, revocationList } from '../../fakes/revocation-lists.ts';
import { type Actors, attemptAs } from './actors.ts';
import { type Check, type Kind, OPEN, type Tenants } from './check.ts';

/** Says that alice's certificate was taken back, and that bob's is good; it knows nobody else. */
export async function startResponder({ acme, alice, bob }: Actors): Promise<FakeResponder> {
  const { ca } = acme.pki;
  const responder = await FakeResponder.start();
  responder.answer = (response, request) => {
    const about = [alice, bob].find((one) => request.includes(subjectFor(one, ca).serial));
    // Of nobody else there is an answer: it is about bob.
    const status = about === alice ? 'revoked' : 'good';
    response.writeHead(200, { 'content-type': 'application/ocsp-response' });
    response.end(ocspResponse(ca, about ?? bob, { status }));
  };
  return responder;
}

export function revocationChecks(actors: Actors, responder: FakeResponder): readonly Check[] {
  const { acme, alice, apiKeys } = actors;
  const serial = normalSerial(new X509Certificate(alice.certPem).serialNumber);
  const { issuer } = acme.issuer;
  const carol = issueClient(acme.pki.ca, { spiffeId: `spiffe://${acme.pki.trustDomain}/carol`, days: 1 });
  const listed = (kind: Kind, of: DeniedCredential['kind'], value: string, whose?: string): Check => ({
    kind,
    aspect: 'revoked',
    name: `a deny list names its ${of}, ${whose === undefined ? 'whosever it is' : 'of its issuer'}`,
    refusal: REFUSALS[kind],
    strict: {
      acme: {
        apiKeys,
        denied: [
          { kind: of, value, ...(whose === undefined ? {} : { issuer: whose }), source: 'acme.yaml:7 denied[0]' },
        ],
      },
    },
    attack: () => attemptAs(actors, 'alice', kind, { sid: 'session-a', jti: 'token-a' }),
    satisfied: () => attemptAs(actors, 'bob', kind, { sid: 'session-b', jti: 'token-b' }),
    lax: { acme: { apiKeys } },
  });
  return [
    listed('certificate', 'serial', serial, 'CN=acme test CA'),
    listed('certificate', 'spiffe', acme.pki.spiffeId),
    listed('token', 'subject', 'alice', issuer),
    listed('token', 'session', 'session-a'),
    listed('token', 'session', 'token-a', issuer),
    listed('api-key', 'key', 'acme-key'),
    {
      kind: 'certificate',
      aspect: 'revoked',
      name: 'its CA’s list has it',
      refusal: { door: 'TLS_CLIENT_CERT_REVOKED' },
      strict: withList(actors, { revoked: [alice.certPem] }),
      attack: () => attemptAs(actors, 'alice', 'certificate'),
      satisfied: () => attemptAs(actors, 'bob', 'certificate'),
      lax: OPEN,
    },
    {
      kind: 'certificate',
      aspect: 'revoked',
      name: 'its CA’s list is too old to say',
      refusal: { door: 'TLS_CLIENT_CERT_STATUS_UNKNOWN' },
      strict: withList(actors, { nextUpdate: new Date(Date.now() - 1_000) }),
      attack: () => attemptAs(actors, 'alice', 'certificate'),
      satisfied: { notShown: 'it is no client’s fault: nobody of the tenant gets in' },
      lax: withList(actors, {}),
    },
    {
      kind: 'certificate',
      aspect: 'revoked',
      name: 'its CA’s responder says so',
      refusal: { door: 'TLS_CLIENT_CERT_REVOKED' },
      strict: withResponder(responder),
      attack: () => attemptAs(actors, 'alice', 'certificate'),
      satisfied: () => attemptAs(actors, 'bob', 'certificate'),
      lax: OPEN,
    },
    {
      kind: 'certificate',
      aspect: 'revoked',
      name: 'its CA’s responder says nothing of it',
      refusal: { door: 'TLS_CLIENT_CERT_STATUS_UNKNOWN' },
      strict: withResponder(responder),
      attack: () => ({ access: { certPem: carol.certPem, keyPem: carol.keyPem } }),
      satisfied: () => attemptAs(actors, 'bob', 'certificate'),
      lax: withResponder(responder, 'allow'),
    },
  ];
}

/** A certificate that was taken back gets no connection. */
const REFUSALS = {
  certificate: { door: 'TLS_CLIENT_CERT_REVOKED' },
  token: { status: 16, reason: 'TOKEN_INVALID' },
  'api-key': { status: 16, reason: 'API_KEY_INVALID' },
};

function withList({ acme }: Actors, options: ListOptions): Tenants {
  const cas = [new X509Certificate(acme.pki.ca.certPem)];
  const lists = readRevocationLists(Buffer.from(revocationList(acme.pki.ca, options)), cas);
  if (!lists.ok) throw new Error(lists.error);
  const policy = { graceMs: 0, whenUnknown: 'refuse', refreshMs: 60_000 } as const;
  return { acme: { clientRevocation: { lists: lists.value, urls: [], ...policy } } };
}

function withResponder({ url }: FakeResponder, whenUnknown: 'refuse' | 'allow' = 'refuse'): Tenants {
  const lists = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 } as const;
  const responder = { url, caPem: undefined, allowHttp: false };
  const asked = { timeoutMs: 5_000, maxAgeMs: 60_000, hash: 'sha1', nonce: false } as const;
  return { acme: { clientRevocation: { ...lists, ocsp: { responder, whenUnknown, ...asked } } } };
}
