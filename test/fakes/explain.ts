/** Questions, roles and bindings for tests of explanations. */
import type { BindingConfig, RoleConfig } from '../../src/config/policy-config.ts';
import type { EpochMicros } from '../../src/kernel/ids.ts';
import type { Credentials, Question } from '../../src/proxy/explain/question.ts';
import { micros } from './trust.ts';

export const INFER = 'inference.GRPCInferenceService/ModelInfer';
export const LIVE = 'inference.GRPCInferenceService/ServerLive';
export const LOAD = 'inference.GRPCInferenceService/RepositoryModelLoad';

/** The certificates of fake tenants are of this hour. */
export function now(): EpochMicros {
  return micros(Math.floor(Date.now() / 1000));
}

/** Certificate assumed, nothing else, with what the test wants different. */
export function credentials(changes: Partial<Credentials> = {}): Credentials {
  return { certificate: { kind: 'assumed', name: undefined }, token: undefined, apiKey: undefined, ...changes };
}

/** acme's ModelInfer of digits, with what the test wants different. */
export function question(changes: Partial<Question> = {}): Question {
  return {
    tenant: 'acme',
    method: INFER,
    model: 'digits',
    modelVersion: undefined,
    credentials: credentials(),
    now: now(),
    ...changes,
  };
}

export function role(changes: Partial<RoleConfig> = {}): RoleConfig {
  return {
    name: 'reader',
    methods: [INFER, LIVE],
    models: ['digits', 'acme-*'],
    versions: ['*'],
    source: 'tenants/acme.yaml:21 roles[0]',
    ...changes,
  };
}

export function binding(changes: Partial<BindingConfig> = {}): BindingConfig {
  return {
    role: 'reader',
    subjects: ['alice'],
    keys: [],
    certificates: [],
    source: 'tenants/acme.yaml:31 bindings[0]',
    ...changes,
  };
}
