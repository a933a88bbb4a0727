/**
 * A SPIFFE agent that says whatever a test has it say, over a real socket.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  type StatusObject,
} from '@grpc/grpc-js';
import type { WorkloadApiConfig } from '../../src/config/generation.ts';
import { createCa, type IssuedCertificate } from '../../src/identity/issue.ts';
import { type SvidEntry, workloadService } from '../../src/identity/workload-protocol.ts';
import { craftClient } from './crafted-certificates.ts';

/** What it does when it is asked: answers (with a message, or with octets that need be none), says nothing, or fails. */
export type Answer = object | 'silence' | Pick<StatusObject, 'code' | 'details'>;

type Call = ServerWritableStream<object, object>;

export class WorkloadAgent {
  readonly path: string;
  readonly #directory: string;
  readonly #transport: 'unix' | 'tcp';
  #server: Server | undefined;
  #port = 0;
  /** What each method says first, and `say` replaces. */
  readonly answers = new Map<string, Answer>();
  readonly #calls = new Map<string, Set<Call>>();
  /** How often each method was asked, and with which security header. */
  readonly asked: { readonly method: string; readonly header: readonly unknown[] }[] = [];

  private constructor(transport: 'unix' | 'tcp') {
    this.#transport = transport;
    this.#directory = mkdtempSync(join(tmpdir(), 'bulkhead-agent-'));
    this.path = join(this.#directory, 'agent.sock');
  }

  static async start(
    answers: Readonly<Record<string, Answer>> = {},
    transport: 'unix' | 'tcp' = 'unix',
  ): Promise<WorkloadAgent> {
    const agent = new WorkloadAgent(transport);
    for (const [method, answer] of Object.entries(answers)) agent.answers.set(method, answer);
    await agent.listen();
    return agent;
  }

  get display(): string {
    return this.#transport === 'unix' ? `unix:${this.path}` : `tcp://127.0.0.1:${this.#port}`;
  }

  get target(): WorkloadApiConfig['target'] {
    if (this.#transport === 'unix') return { kind: 'unix', path: this.path };
    return { kind: 'tcp', host: '127.0.0.1', port: this.#port };
  }

  /** Listens, again if it had been away. */
  async listen(): Promise<void> {
    const server = new Server({ 'grpc.max_send_message_length': -1 });
    const handler = (method: string) => (call: Call) => this.#serve(method, call);
    server.addService(openService(), {
      FetchX509SVID: handler('FetchX509SVID'),
      FetchX509Bundles: handler('FetchX509Bundles'),
    });
    const place = this.#transport === 'unix' ? `unix:${this.path}` : `127.0.0.1:${this.#port}`;
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(place, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    this.#server = server;
  }

  /** From now on a method answers so, and whoever listens is told at once. */
  say(method: string, answer: Answer): void {
    this.answers.set(method, answer);
    for (const call of this.#calls.get(method) ?? []) this.#answer(call, answer);
  }

  /** Streams of a method that are open. */
  open(method: string): number {
    return this.#calls.get(method)?.size ?? 0;
  }

  /** Is gone, with its socket. */
  leave(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  stop(): void {
    this.leave();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #serve(method: string, call: Call): void {
    this.asked.push({ method, header: call.metadata.get('workload.spiffe.io') });
    const calls = this.#calls.get(method) ?? new Set();
    this.#calls.set(method, calls.add(call));
    call.on('cancelled', () => calls.delete(call));
    call.on('error', () => calls.delete(call));
    this.#answer(call, this.answers.get(method) ?? 'silence');
  }

  #answer(call: Call, answer: Answer): void {
    if (answer === 'silence') return;
    if ('code' in answer) {
      this.#calls.forEach((calls) => calls.delete(call));
      call.emit('error', answer);
    } else call.write(answer);
  }
}

/** The service, whose answers may be any octets. */
function openService(): ServiceDefinition {
  const methods = Object.entries(workloadService()).map(([name, method]) => {
    const responseSerialize = (answer: object): Buffer =>
      Buffer.isBuffer(answer) ? answer : method.responseSerialize(answer);
    return [name, { ...method, responseSerialize }] as const;
  });
  return Object.fromEntries(methods);
}

/** One trust domain with its authority. */
export interface TrustDomain {
  readonly name: string;
  readonly ca: IssuedCertificate;
}

export function trustDomain(name: string): TrustDomain {
  return { name, ca: createCa({ commonName: `${name} authority`, days: 1 }) };
}

/** DER of PEM certificates, one after the other. */
export function derOf(...pems: readonly string[]): Buffer {
  return Buffer.concat(pems.map((pem) => new X509Certificate(pem).raw));
}

/** An entry as an agent sends it, for an id `spiffe://<domain>/<path>`, but for `changes`. */
export function svidEntry(
  domain: TrustDomain,
  path: string,
  changes: Partial<SvidEntry> & { readonly notAfter?: Date } = {},
): SvidEntry {
  const spiffeId = `spiffe://${domain.name}/${path}`;
  const { notAfter, ...rest } = changes;
  const eku = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
  const issued = craftClient(domain.ca, spiffeId, {
    extendedKeyUsage: eku,
    ...(notAfter === undefined ? {} : { notAfter }),
  });
  return {
    spiffeId,
    x509Svid: derOf(issued.certPem),
    x509SvidKey: createPrivateKey(issued.keyPem).export({ type: 'pkcs8', format: 'der' }),
    bundle: derOf(domain.ca.certPem),
    hint: '',
    ...rest,
  };
}

/** A message of bundles. */
export function bundlesOf(...domains: readonly TrustDomain[]): { readonly bundles: Record<string, Buffer> } {
  return { bundles: Object.fromEntries(domains.map(({ name, ca }) => [`spiffe://${name}`, derOf(ca.certPem)])) };
}
