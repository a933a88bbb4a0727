/**
 * What does not work: reaching over to the other tenant, in the ways that one would try.
 */
import { connect } from 'node:tls';
import { batchRequest } from '../inference-batch.ts';
import { InferenceClient, serializeInferRequest } from '../inference-client.ts';
import { SAMPLES } from '../models/samples.ts';
import { clientOf } from '../stage.ts';
import { type Check, check, expectOutcome, type Step } from '../step.ts';
import { nothingReached } from './model-server-log.ts';

/** How the ids of requests begin that must not reach the model server. */
const REFUSED = 'refused';
const TLS_TIMEOUT_MS = 5_000;

/** The other tenant's model, asked for openly and in disguise. */
export const otherModel: Step = {
  title: 'The other tenant’s model is refused',
  proves: 'The name that counts is the one the model server would act on: protobuf’s last one, wherever it hides.',
  async run(stage) {
    const digits = { ...batchRequest('digits', SAMPLES.digits.slice(0, 1)), id: `${REFUSED}-digits` };
    const wine = { ...batchRequest('wine-cultivar', SAMPLES['wine-cultivar'].slice(0, 1)), id: `${REFUSED}-wine` };
    const open = await stage.globex.withApiKey.infer(digits);
    const other = await stage.acme.withToken.infer(wine);
    // Field 1 again after everything else: a server takes the last one, a filter that looks at the first is deceived.
    const disguise = (id: string): Buffer =>
      Buffer.concat([serializeInferRequest({ ...digits, id, modelName: 'wine-cultivar' }), modelNameField('digits')]);
    const disguised = await stage.globex.withApiKey.inferBytes(disguise(digits.id));
    // The counter-proof: without a sidecar in front, the model server falls for it.
    const unguarded = new InferenceClient({
      target: stage.upstream,
      serverName: 'localhost',
      caPem: undefined,
      certificate: undefined,
      metadata: {},
    });
    const direct = await unguarded.inferBytes(disguise('unguarded'));
    unguarded.close();
    return {
      lines: [],
      checks: [
        expectOutcome('globex asks for digits', open, 'PERMISSION_DENIED', 'MODEL_ACCESS_DENIED'),
        expectOutcome('acme asks for wine-cultivar', other, 'PERMISSION_DENIED', 'MODEL_ACCESS_DENIED'),
        expectOutcome(
          'globex hides a second model_name at the end',
          disguised,
          'PERMISSION_DENIED',
          'MODEL_ACCESS_DENIED',
        ),
        check(
          'the same bytes straight to the model server',
          `${direct.code}, answered by ${direct.response?.modelName ?? 'nobody'}`,
          direct.code === 'OK' && direct.response?.modelName === 'digits',
          'OK, answered by digits',
        ),
        await nothingReached(stage, REFUSED),
      ],
    };
  },
};

/** The other tenant's credential over one's own certificate. */
export const otherToken: Step = {
  title: 'The other tenant’s token over this certificate is refused',
  proves: 'A stolen token is worth nothing without its owner’s private key: everything presented must name one tenant.',
  async run(stage) {
    const { acme, globex } = stage;
    const request = { ...batchRequest('digits', SAMPLES.digits.slice(0, 1)), id: `${REFUSED}-token` };
    const presenting = (metadata: Readonly<Record<string, string>>): InferenceClient =>
      clientOf(globex.credentials, stage.port, {
        certificate: globex.credentials.client,
        metadata,
        counter: stage.counter,
      });
    const authorization = `Bearer ${acme.credentials.token}`;
    const stolenToken = presenting({ authorization });
    const bothAtOnce = presenting({ authorization, 'x-api-key': globex.credentials.apiKey });
    const none = presenting({});
    try {
      return {
        lines: [],
        checks: [
          expectOutcome(
            'acme’s token, globex’s certificate',
            await stolenToken.infer(request),
            'UNAUTHENTICATED',
            'TOKEN_INVALID',
          ),
          expectOutcome(
            'the same beside globex’s own API key',
            await bothAtOnce.infer(request),
            'UNAUTHENTICATED',
            'TOKEN_INVALID',
          ),
          expectOutcome(
            'globex’s certificate alone',
            await none.infer(request),
            'UNAUTHENTICATED',
            'CREDENTIALS_MISSING',
          ),
          await nothingReached(stage, REFUSED),
        ],
      };
    } finally {
      for (const client of [stolenToken, bothAtOnce, none]) client.close();
    }
  },
};

/** No certificate, or one that the tenant's CA has not signed. */
export const noCertificate: Step = {
  title: 'Without the tenant’s certificate there is no connection at all',
  proves: 'Each server name trusts its own tenant’s CA and no other; a stranger does not get as far as HTTP/2.',
  async run(stage) {
    const { acme, globex } = stage;
    const anonymous = clientOf(acme.credentials, stage.port, {
      certificate: undefined,
      metadata: { authorization: `Bearer ${acme.credentials.token}` },
      counter: undefined,
    });
    try {
      const outcome = await anonymous.infer(batchRequest('digits', SAMPLES.digits.slice(0, 1)));
      const nobody = await handshake(stage.port, acme.credentials.serverName, acme.credentials.ca.certPem, undefined);
      const stranger = await handshake(
        stage.port,
        acme.credentials.serverName,
        acme.credentials.ca.certPem,
        globex.credentials.client,
      );
      const nowhere = await handshake(
        stage.port,
        'initech.models.test',
        acme.credentials.ca.certPem,
        acme.credentials.client,
      );
      return {
        lines: [],
        checks: [
          expectOutcome('acme’s token, no certificate', outcome, 'UNAVAILABLE'),
          tlsCheck('the handshake of that', nobody),
          tlsCheck('globex’s certificate at acme’s name', stranger),
          tlsCheck('acme’s certificate at a name of nobody', nowhere),
        ],
      };
    } finally {
      anonymous.close();
    }
  },
};

/** Field 1 (`model_name`) of a ModelInferRequest as protobuf has it on the wire. */
function modelNameField(name: string): Buffer {
  return Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
}

/** Tries a TLS handshake and says how it ended: the alert that was received, `closed`, or `open` when the server spoke HTTP/2. */
function handshake(
  port: number,
  servername: string,
  ca: string,
  certificate: { readonly certPem: string; readonly keyPem: string } | undefined,
): Promise<string> {
  return new Promise((resolve) => {
    const client = certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem };
    const socket = connect({ host: '127.0.0.1', port, servername, ca, ALPNProtocols: ['h2'], ...client });
    const end = (how: string): void => {
      resolve(how);
      socket.destroy();
    };
    socket.setTimeout(TLS_TIMEOUT_MS, () => end('open'));
    // In TLS 1.3 the client is done before the server has judged its certificate: only what is read next tells.
    socket.on('data', () => end('open'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.on('close', () => end('closed'));
  });
}

const ALERT = /^ERR_SSL_.*ALERT_(.+)$/;

function tlsCheck(what: string, ended: string): Check {
  const alert = ALERT.exec(ended)?.[1]?.toLowerCase().replaceAll('_', ' ');
  const refused = alert !== undefined || ended === 'closed';
  return check(
    what,
    alert === undefined ? `${ended} before HTTP/2` : `TLS alert: ${alert}`,
    refused,
    'a TLS alert, or closed',
  );
}
