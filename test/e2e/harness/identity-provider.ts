/**
 * npm's oidc-provider as a process of its own, with clients that are given tokens by client credentials.
 */
import { request } from 'node:https';
import { createCa, type IssuedCertificate, issueServer } from '../../../src/identity/issue.ts';
import { answers, Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile } from './peer-file.ts';

/** What the provider knows of a client (OpenID Connect Dynamic Client Registration's names). */
export interface ProviderClient {
  readonly client_id: string;
  readonly client_secret?: string;
  /** What its tokens say besides, such as `acr`. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly [setting: string]: unknown;
}

export class IdentityProvider {
  /** `https://localhost:<port>`. */
  readonly issuer: string;
  /** That of its certificate. */
  readonly ca: IssuedCertificate;
  readonly child: Child;
  readonly #controlPort: number;

  private constructor(child: Child, ports: { readonly port: number; readonly control: number }, ca: IssuedCertificate) {
    this.child = child;
    this.issuer = `https://localhost:${ports.port}`;
    this.#controlPort = ports.control;
    this.ca = ca;
  }

  get caPem(): string {
    return this.ca.certPem;
  }

  static async start(clients: readonly ProviderClient[]): Promise<IdentityProvider> {
    const [port, control] = await freePorts(2);
    if (port === undefined || control === undefined) throw new Error('no ports');
    const ca = createCa({ commonName: 'identity provider', days: 1 });
    const { certPem, keyPem } = issueServer(ca, { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'], days: 1 });
    const settings = { port, controlPort: control, cert: certPem, key: keyPem, clients: clients.map(registered) };
    const child = await Child.spawn('the identity provider', {
      command: process.execPath,
      args: [peerFile('oidc/provider.mjs'), JSON.stringify(settings)],
    });
    const provider = new IdentityProvider(child, { port, control }, ca);
    await child.until('ready', () => answers(`http://127.0.0.1:${control}/`));
    return provider;
  }

  /** A token by client credentials. `certificate` is shown to the provider, which binds the token to it if the client is so registered. */
  async token(client: string, format: 'jwt' | 'opaque', certificate?: IssuedCertificate): Promise<string> {
    const form = { grant_type: 'client_credentials', resource: `urn:bulkhead:${format}`, scope: 'models:infer' };
    const answer = await this.#post('/token', client, form, certificate);
    const { access_token: token } = JSON.parse(answer) as { readonly access_token?: string };
    if (token === undefined) throw new Error(`no token: ${answer}`);
    return token;
  }

  async revoke(client: string, token: string): Promise<void> {
    await this.#post('/token/revocation', client, { token });
  }

  /** `rotate`, `withdraw`, `away`, `back`: see its source. */
  async control(act: 'rotate' | 'withdraw' | 'away' | 'back'): Promise<void> {
    const { ok } = await fetch(`http://127.0.0.1:${this.#controlPort}/${act}`, { method: 'POST' });
    if (!ok) throw new Error(`the provider does not ${act}`);
  }

  #post(
    path: string,
    client: string,
    form: Readonly<Record<string, string>>,
    certificate?: IssuedCertificate,
  ): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const sent = request(`${this.issuer}${path}`, {
      method: 'POST',
      agent: false,
      ca: this.caPem,
      auth: `${client}:${SECRET}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
    });
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    sent.on('error', reject).end(new URLSearchParams(form).toString());
    return promise;
  }
}

/** Of every client that authenticates by one. */
export const SECRET = 'not-in-any-log';

function registered({ claims = {}, ...client }: ProviderClient): object {
  const isByCertificate = client['token_endpoint_auth_method'] === 'tls_client_auth';
  return {
    ...(isByCertificate ? {} : { client_secret: SECRET }),
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    client_name: JSON.stringify(claims),
    ...client,
  };
}
