/** What responders say, as they should and as none should; and a responder that says it. */
import { createHash, createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type DerElement, der, encodeDer } from '../../src/identity/der.ts';
import type { IssuedCertificate } from '../../src/identity/issue.ts';
import { keyBits, OCSP_DIGESTS, type OcspSubject, ocspSubject } from '../../src/identity/ocsp-request.ts';
import { signStructure, subjectOf } from '../../src/identity/signed-structure.ts';
import { listExtension } from './revocation-lists.ts';

const HOUR_MS = 3_600_000;

export interface OcspParts {
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: Date;
  /** Null: it has none. */
  readonly nextUpdate?: Date | null;
  /** Instead of the CA; its certificate is sent along. */
  readonly signer?: IssuedCertificate;
  /** Signed by another key than it says. */
  readonly key?: IssuedCertificate;
  /** Certificates sent along after the signer's. */
  readonly more?: readonly IssuedCertificate[];
  readonly byKey?: boolean;
  /** About whom; the client and its CA by default. */
  readonly subject?: OcspSubject;
  /** How often that stands in it. */
  readonly times?: number;
  readonly others?: readonly OcspSubject[];
  readonly extensions?: readonly DerElement[];
  readonly singleExtensions?: readonly DerElement[];
  /** `responseStatus`; successful by default. */
  readonly responseStatus?: number;
  /** Of the response; basic by default. */
  readonly type?: string;
}

export function subjectFor(client: IssuedCertificate, ca: IssuedCertificate): OcspSubject {
  return ocspSubject(new X509Certificate(client.certPem), new X509Certificate(ca.certPem), 'sha1');
}

/** The DER of an answer about a client, signed by its CA. */
export function ocspResponse(ca: IssuedCertificate, client: IssuedCertificate, parts: OcspParts = {}): Buffer {
  const subject = parts.subject ?? subjectFor(client, ca);
  const subjects = [...(parts.others ?? []), ...Array.from({ length: parts.times ?? 1 }, () => subject)];
  const signer = new X509Certificate((parts.signer ?? ca).certPem);
  const key = createPrivateKey((parts.key ?? parts.signer ?? ca).keyPem);
  const sha1 = createHash('sha1').update(keyBits(signer)).digest();
  const data = der.sequence(
    parts.byKey === true ? der.context(2, der.octetString(sha1)) : der.context(1, subjectOf(signer)),
    generalizedTime(new Date()),
    der.sequence(...subjects.map((one) => single(one, parts))),
    ...extensions(parts.extensions),
  );
  const signed = signAnswer(data, key);
  return wrapped(
    parts.signer === undefined
      ? signed
      : withCertificates(data, key, [
          signer.raw,
          ...(parts.more ?? []).map(({ certPem }) => new X509Certificate(certPem).raw),
        ]),
    parts.responseStatus,
    parts.type,
  );
}

/** Also with keys that no certificate should have. */
function signAnswer(data: DerElement, key: ReturnType<typeof createPrivateKey>): Buffer {
  if (key.asymmetricKeyType !== 'ec') return signStructure(data, key);
  const signature = der.bitString(sign('sha256', encodeDer(data), key));
  return encodeDer(der.sequence(data, der.sequence(der.oid('1.2.840.10045.4.3.2')), signature));
}

/** A response around these octets. */
export function wrapped(basic: Buffer, status = 0, type = '1.3.6.1.5.5.7.48.1.1'): Buffer {
  const typed = der.sequence(der.oid(type), der.octetString(basic));
  return encodeDer(der.sequence(der.enumerated(status), der.context(0, typed)));
}

function withCertificates(
  data: DerElement,
  key: ReturnType<typeof createPrivateKey>,
  certificates: readonly Buffer[],
): Buffer {
  const signed = signAnswer(data, key);
  const list = Buffer.concat(certificates);
  const certs = tlv(0xa0, tlv(0x30, list));
  const from = signed.readUInt8(1) < 0x80 ? 2 : 2 + (signed.readUInt8(1) & 0x7f);
  return tlv(0x30, Buffer.concat([signed.subarray(from), certs]));
}

function tlv(tag: number, contents: Buffer): Buffer {
  const { length } = contents;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...header]), contents]);
}

function single({ hash, issuerName, issuerKey, serial }: OcspSubject, parts: OcspParts): DerElement {
  const id = der.sequence(
    der.sequence(der.oid(OCSP_DIGESTS[hash][0]), der.null()),
    der.octetString(issuerName),
    der.octetString(issuerKey),
    der.integer(serial),
  );
  const now = Date.now();
  const { status = 'good', nextUpdate = new Date(now + HOUR_MS) } = parts;
  const said = {
    good: der.contextBytes(0, Buffer.alloc(0)),
    revoked: der.context(1, generalizedTime(new Date(now - HOUR_MS)), der.context(0, der.enumerated(1))),
    unknown: der.contextBytes(2, Buffer.alloc(0)),
  }[status];
  return der.sequence(
    id,
    said,
    generalizedTime(parts.thisUpdate ?? new Date(now - 1_000)),
    ...(nextUpdate === null ? [] : [der.context(0, generalizedTime(nextUpdate))]),
    ...extensions(parts.singleExtensions),
  );
}

function extensions(list: readonly DerElement[] | undefined): readonly DerElement[] {
  return list === undefined ? [] : [der.context(1, der.sequence(...list))];
}

/** A GeneralizedTime is a UTCTime with a century before it and another tag. */
function generalizedTime(at: Date): DerElement {
  const time = der.time(new Date(Date.UTC(2050, 0)));
  return { ...time, value: `${at.toISOString().replace(/\.\d{3}Z$|[-:T]/g, '')}Z` };
}

/** The extension by which an answer repeats what was asked with. */
export function nonceExtension(octets: Buffer): DerElement {
  return listExtension('1.3.6.1.5.5.7.48.1.2', false, der.octetString(octets));
}

/** An entry of authorityInfoAccess; without a method that of responders. */
export interface Access {
  readonly method?: string;
  readonly url: string;
}

/** The extension by which a certificate says whom to ask about it. */
export function informationAccess(accesses: readonly Access[]): DerElement {
  const descriptions = accesses.map(({ method = '1.3.6.1.5.5.7.48.1', url }) =>
    der.sequence(der.oid(method), der.contextBytes(6, Buffer.from(url))),
  );
  return listExtension('1.3.6.1.5.5.7.1.1', false, der.sequence(...descriptions));
}

/** A responder on this host, which answers as it is told. */
export class FakeResponder {
  readonly #server: Server;
  asked = 0;
  readonly requests: Buffer[] = [];
  answer: (response: ServerResponse, request: Buffer) => void;

  private constructor(server: Server) {
    this.#server = server;
    this.answer = (response) => response.writeHead(500).end();
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const octets = Buffer.concat(chunks);
        this.requests.push(octets);
        this.asked += 1;
        this.answer(response, octets);
      });
    });
  }

  static async start(): Promise<FakeResponder> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FakeResponder(server);
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/`;
  }

  says(answer: Buffer | (() => Buffer)): void {
    this.answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/ocsp-response' });
      response.end(typeof answer === 'function' ? answer() : answer);
    };
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
