/**
 * Before anything is measured: is the answer right, and is what shall cost something really on?
 */
import { readFileSync } from 'node:fs';
import { type Answer, Caller, type CallTarget, requestHead } from './caller.ts';
import type { LoadTarget } from './load.ts';
import { ANSWER_BYTES, CALLED_MODEL, modelInfer } from './message.ts';
import { type Subject, subjectName } from './subjects/subject.ts';

const CALL_TIMEOUT_MS = 20_000;
const PREFIX_BYTES = 5;

/**
 * Calls the subject once with each length of message, and looks at the whole answer. Where everything is on, a call without a
 * token, with one whose signature is wrong, without a certificate and (the sidecar only) for another model must be refused.
 */
export async function check(subject: Subject, target: LoadTarget, messageBytes: readonly number[]): Promise<void> {
  const bearer = `Bearer ${target.token}`;
  for (const bytes of messageBytes) {
    const answer = await callOnce(target, bearer, readFileSync(target.bodyFile(bytes)));
    if (!isRight(answer)) throw new Error(`${subjectName(subject)} answered ${bytes} B with ${JSON.stringify(answer)}`);
  }
  if (subject.features === 'relay') return;
  const message = modelInfer(100);
  const refused = async (what: string, result: Promise<Answer>): Promise<void> => {
    const answer = await result;
    if (isRight(answer)) throw new Error(`${subjectName(subject)} lets a call ${what} through`);
  };
  await refused('without a token', callOnce(target, undefined, message));
  await refused('with a forged token', callOnce(target, forged(bearer), message));
  await refused('without a certificate', withoutCertificate(target, bearer, message));
  if (subject.name !== 'bulkhead') return;
  const other = Buffer.from(message);
  other.write('secret', other.indexOf(CALLED_MODEL));
  await refused('for a model that its role does not have', callOnce(target, bearer, other));
}

/** Whether it is the answer to the bench's call. */
export const isRight = ({ httpStatus, grpcStatus, bytes, broken }: Answer): boolean =>
  httpStatus === '200' && grpcStatus === '0' && bytes === PREFIX_BYTES + ANSWER_BYTES && broken === '';

async function callOnce(target: CallTarget, authorization: string | undefined, message: Buffer): Promise<Answer> {
  const caller = await Caller.open(target);
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a call was not answered')), CALL_TIMEOUT_MS);
      // A client may not open a stream before the server's SETTINGS; the engine allows it, as RFC 9113 §3.4 does.
      caller.call(requestHead(target.serverName, authorization), message, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  } finally {
    caller.close();
  }
}

/** With TLS 1.3 a client learns only after its handshake that its certificate was wanted. */
async function withoutCertificate(target: CallTarget, authorization: string, message: Buffer): Promise<Answer> {
  const refusal = (error: unknown): Answer => ({ httpStatus: '', grpcStatus: '', bytes: 0, broken: String(error) });
  return callOnce({ ...target, clientPem: '' }, authorization, message).catch(refusal);
}

/** The same length, but another signature. */
function forged(bearer: string): string {
  const last = bearer.at(-10) === 'A' ? 'B' : 'A';
  return `${bearer.slice(0, -10)}${last}${bearer.slice(-9)}`;
}
