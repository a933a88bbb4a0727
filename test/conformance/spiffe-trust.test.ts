/**
 * gRFC A87 over real connections: each trust domain's authorities verify that trust domain, and nobody else's clients. Each refusal
 * has its counter-proof: what is let in when the one thing is taken away that keeps it out.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { bundleName } from '../../src/config/workload-material.ts';
import { createCa, issueClient } from '../../src/identity/issue.ts';
import { WorkloadIdentities } from '../../src/identity/workload-identities.ts';
import { HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { RunningStream } from '../fakes/running-stream.ts';
import { derOf } from '../fakes/workload-agent.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

/** What an agent's message of bundles makes of a tenant. */
function bundleOf(trustDomain: string, ...authorities: readonly string[]): Pick<TenantConfig, 'clientCaPem'> {
  const identities = new WorkloadIdentities();
  identities.takeBundles({ bundles: { [`spiffe://${trustDomain}`]: derOf(...authorities) } });
  const pem = identities.read(bundleName(trustDomain));
  return { clientCaPem: pem?.ok === true ? pem.value : '' };
}

/** Whether acme's door lets a client in, and what its call comes to. */
async function outcome(certificate?: { readonly certPem: string; readonly keyPem: string }): Promise<string> {
  try {
    const client = await ground.client(ground.acme, certificate ?? {});
    const response = await client.call(INFER, { chunks: [inferRequest()] });
    return `status ${response.status}`;
  } catch {
    return 'no connection';
  }
}

describe('a client whose certificate another trust domain’s authority has signed', () => {
  it.each([
    ['that trust domain’s id', 'spiffe://globex.example/client'],
    ['an id of this trust domain', 'spiffe://acme.example/client'],
  ])('is refused with %s', async (_what, spiffeId) => {
    ground = await HostileGround.start();
    const { acme, globex } = ground;
    const foreign = issueClient(globex.pki.ca, { spiffeId, days: 1 });
    ground.sidecar.apply(ground.generation({ acme: bundleOf('acme.example', acme.pki.ca.certPem) }));
    expect(await outcome(foreign)).toBe('no connection');
    expect(await outcome()).toBe('status 0');
    // One pool of authorities for all trust domains, and no trust domain that must be theirs: then it is in.
    const pool = bundleOf('acme.example', acme.pki.ca.certPem, globex.pki.ca.certPem);
    ground.sidecar.apply(ground.generation({ acme: { ...pool, trustDomain: undefined } }));
    expect(await outcome(foreign)).toBe('status 0');
  });

  it('is refused with its own id where the authorities are in one pool, by the trust domain', async () => {
    ground = await HostileGround.start();
    const { acme, globex } = ground;
    const pool = bundleOf('acme.example', acme.pki.ca.certPem, globex.pki.ca.certPem);
    ground.sidecar.apply(ground.generation({ acme: pool }));
    expect(await outcome(globex.pki.client)).toBe('no connection');
    ground.sidecar.apply(ground.generation({ acme: { ...pool, trustDomain: 'globex.example' } }));
    expect(await outcome(globex.pki.client)).toBe('status 0');
  });
});

describe('a trust domain', () => {
  it('without authorities lets nobody in, and with them its own clients', async () => {
    ground = await HostileGround.start({ acme: { clientCaPem: '' } });
    expect(await outcome()).toBe('no connection');
    ground.sidecar.apply(ground.generation({ acme: bundleOf('acme.example', ground.acme.pki.ca.certPem) }));
    expect(await outcome()).toBe('status 0');
  });

  it('without a certificate for us has no door, and its neighbour has', async () => {
    ground = await HostileGround.start({ acme: { certificate: undefined } });
    expect(await outcome()).toBe('no connection');
    const neighbour = await ground.client(ground.globex);
    expect((await neighbour.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    const refusals = await ground.sidecar.refusals();
    expect(refusals.map(({ reason, tenantClaim }) => [reason, tenantClaim])).toContainEqual([
      'TLS_CONTEXT_UNUSABLE',
      'acme',
    ]);
  });

  it('that gets a further authority disturbs no stream, and one that loses an authority ends its clients’ streams', async () => {
    ground = await HostileGround.start();
    const { acme } = ground;
    const next = createCa({ commonName: 'the next authority', days: 1 });
    const client = await ground.client();
    const stream = await RunningStream.begin(ground, client);
    ground.sidecar.apply(ground.generation({ acme: bundleOf('acme.example', acme.pki.ca.certPem, next.certPem) }));
    // The same connection takes a further call, which it would not if it had been told to go.
    const before = ground.upstream.calls.length;
    ground.upstream.answer = undefined;
    expect((await client.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
    expect(ground.upstream.calls).toHaveLength(before + 1);
    expect(stream.isOver).toBe(false);
    ground.sidecar.apply(ground.generation({ acme: bundleOf('acme.example', next.certPem) }));
    expect(await stream.ended).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED' });
    expect(await outcome()).toBe('no connection');
  });
});
