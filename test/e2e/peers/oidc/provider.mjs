/**
 * npm's oidc-provider as an identity provider, with the clients that the tests need.
 *
 * usage: node provider.mjs SETTINGS     SETTINGS is JSON: port, controlPort, cert, key, clients (what oidc-provider knows of each)
 *
 * A client may be issued tokens for two resources: `urn:bulkhead:jwt` and `urn:bulkhead:opaque`. What its tokens
 * say besides (`acr`, `amr`, …) is the JSON in its `client_name`. The control port takes POST /rotate (sign with a new key, keep the old one
 * published), /withdraw (publish the newest only), /away (close the door) and /back.
 */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { createServer as createControl } from 'node:http';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const { port, controlPort, cert, key, clients } = JSON.parse(process.argv[2]);
const issuer = `https://localhost:${port}`;
const AUDIENCE = 'bulkhead';
const TOKEN_SECONDS = 600;

let named = 0;
let keys = [newKey()];

function newKey() {
  named += 1;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${named}`, alg: 'ES256', use: 'sig' };
}

function resourceOf(resource) {
  const format = resource.slice(resource.lastIndexOf(':') + 1);
  return {
    scope: 'models:infer',
    audience: AUDIENCE,
    accessTokenTTL: TOKEN_SECONDS,
    accessTokenFormat: format,
    ...(format === 'jwt' ? { jwt: { sign: { alg: 'ES256' } } } : {}),
  };
}

function newProvider() {
  return new Provider(issuer, {
    clients,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'tls_client_auth'],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys },
    scopes: ['models:infer'],
    ttl: { ClientCredentials: TOKEN_SECONDS },
    // Who signed in, and how: of a client of machines, what it is configured to say.
    extraTokenClaims: (_context, token) =>
      JSON.parse(clients.find((one) => one.client_id === token.clientId)?.client_name ?? '{}'),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (context) => context.socket.getPeerX509Certificate(),
        certificateAuthorized: (context) => context.socket.getPeerX509Certificate() !== undefined,
        certificateSubjectMatches: (context, property, expected) => {
          const shown = new X509Certificate(context.socket.getPeerX509Certificate().raw);
          return property === 'tls_client_auth_san_uri' && shown.subjectAltName === `URI:${expected}`;
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:bulkhead:jwt',
        getResourceServerInfo: (_context, resource) => resourceOf(resource),
        useGrantedResource: () => true,
      },
    },
  });
}

let handle = newProvider().callback();
const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (incoming, response) =>
  handle(incoming, response),
);

const listen = () => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));

const CONTROL = {
  '/': () => undefined,
  '/rotate': () => {
    keys = [newKey(), ...keys];
    handle = newProvider().callback();
  },
  '/withdraw': () => {
    keys = keys.slice(0, 1);
    handle = newProvider().callback();
  },
  '/away': () => {
    server.close();
    server.closeAllConnections();
  },
  '/back': listen,
};

await listen();
createControl((incoming, response) => {
  const act = CONTROL[incoming.url];
  void Promise.resolve(act?.()).then(() => response.writeHead(act === undefined ? 404 : 200).end());
}).listen(controlPort, '127.0.0.1');
