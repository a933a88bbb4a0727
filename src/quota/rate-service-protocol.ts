/**
 * Envoy's rate limit service as grpc-js needs it, and its messages. Loaded by whoever has one, when it is first asked.
 */
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { RateServiceConfig } from '../config/rate-service-config.ts';

export interface RateQuestion {
  readonly domain: string;
  readonly descriptors: readonly { readonly entries: readonly { readonly key: string; readonly value: string }[] }[];
  readonly hitsAddend: number;
}

/** As it comes: nothing in it is checked yet. */
export interface RateAnswer {
  readonly overallCode: string;
  readonly statuses: readonly {
    readonly code: string;
    readonly currentLimit: { readonly name: string; readonly requestsPerUnit: number; readonly unit: string } | null;
    readonly durationUntilReset: { readonly seconds: string | number; readonly nanos: number } | null;
  }[];
}

/** One answer: a status for each descriptor. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** A client that no gates ask any more lets its connection go after it. */
const IDLE_MS = 60_000;

const PROTO = fileURLToPath(new URL('../../proto/envoy/rate_limit_service.proto', import.meta.url));

/** Asks the service. Rejects with what grpc-js says. */
export type Ask = (question: RateQuestion, timeoutMs: number) => Promise<RateAnswer>;

/** Makes what asks it; connects when it is first asked. */
export function openRateService({ target, tls }: RateServiceConfig): Ask {
  const service = loadSync(PROTO, { defaults: true, enums: String })['envoy.service.ratelimit.v3.RateLimitService'];
  // Its file has exactly this service; anything else in its place would be a mistake of ours.
  if (service === undefined || 'format' in service) throw new Error(`${PROTO} has no RateLimitService`);
  const method = service['ShouldRateLimit'];
  if (method === undefined) throw new Error(`${PROTO} has no ShouldRateLimit`);
  const secure = tls === undefined ? credentials.createInsecure() : credentials.createSsl(authorities(tls.caPem));
  const client = new Client(target, secure, {
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.client_idle_timeout_ms': IDLE_MS,
  });
  return (question, timeoutMs) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        // The deserializer is of this very message.
        (bytes) => method.responseDeserialize(bytes) as RateAnswer,
        question,
        { deadline: performance.timeOrigin + performance.now() + timeoutMs },
        (error, answer) => {
          if (error !== null) reject(error);
          else if (answer === undefined) reject(new Error('an answer without a message'));
          else resolve(answer);
        },
      );
    });
}

function authorities(caPem: string | undefined): Buffer | null {
  return caPem === undefined ? null : Buffer.from(caPem);
}
