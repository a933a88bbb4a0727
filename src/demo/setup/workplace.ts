/**
 * The demo's directory: the files that an operator would have, laid out as an operator would lay them out.
 *
 *     bulkhead.yaml         tenants/<id>.yaml
 *     pki/<id>/             ca.pem  server.pem  server.key  client.pem  client.key  token  api-key
 *     jwks/<id>.json        requests/*.json  audit/  logs/
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mainFile, type TenantPlan, tenantFile } from './configuration.ts';

/** Holds the id of the process that made the directory. */
const PID_FILE = 'demo.pid';
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

export interface Workplace {
  readonly directory: string;
  readonly configFile: string;
  readonly auditDirectory: string;
  /** The path of a file in the directory. */
  path(...parts: readonly string[]): string;
  /** Writes the configuration and the credentials into it. */
  write(plan: WorkplacePlan): void;
}

export interface WorkplacePlan {
  readonly tenants: readonly TenantPlan[];
  /** `host:port` of the model server. */
  readonly upstream: string;
  /** Base URL that the sidecar exports OTLP to. */
  readonly otlpEndpoint: string;
  /** Requests for clients of the command line: JSON by file name. */
  readonly requests: Readonly<Record<string, string>>;
}

/**
 * Makes the directory afresh: whatever an earlier demo left in it is removed. Throws when it is not an earlier demo's, and
 * when that demo still runs.
 */
export function makeWorkplace(directory: string): Workplace {
  makeSureItIsOurs(directory);
  rmSync(directory, { recursive: true, force: true });
  const path = (...parts: readonly string[]): string => join(directory, ...parts);
  for (const made of [directory, path('audit'), path('logs')]) {
    mkdirSync(made, { recursive: true });
    chmodSync(made, DIRECTORY_MODE);
  }
  writeFileSync(path(PID_FILE), String(process.pid), { mode: FILE_MODE });
  return {
    directory,
    configFile: path('bulkhead.yaml'),
    auditDirectory: path('audit'),
    path,
    write: (plan) => writePlan(path, plan),
  };
}

/** The directory is going to be removed: only one that a demo has made, and that no other demo is using. */
function makeSureItIsOurs(directory: string): void {
  if (!existsSync(directory) || readdirSync(directory).length === 0) return;
  const file = join(directory, PID_FILE);
  if (!existsSync(file))
    throw new Error(`${directory} is not empty and was not made by a demo: name another --directory`);
  const pid = Number(readFileSync(file, 'utf8'));
  if (pid !== process.pid && isRunning(pid)) {
    throw new Error(`${directory} is in use by the demo with process id ${pid}: end it, or name another --directory`);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function writePlan(path: (file: string) => string, plan: WorkplacePlan): void {
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(path(file)), { recursive: true, mode: DIRECTORY_MODE });
    writeFileSync(path(file), text, { mode: FILE_MODE });
  };
  write('bulkhead.yaml', mainFile(plan.otlpEndpoint));
  for (const [name, json] of Object.entries(plan.requests)) write(`requests/${name}`, json);
  for (const tenant of plan.tenants) {
    const { credentials } = tenant;
    const pki = `pki/${credentials.id}`;
    write(`tenants/${credentials.id}.yaml`, tenantFile(tenant, plan.upstream));
    write(`jwks/${credentials.id}.json`, credentials.jwks);
    write(`${pki}/ca.pem`, credentials.ca.certPem);
    write(`${pki}/server.pem`, credentials.server.certPem);
    write(`${pki}/server.key`, credentials.server.keyPem);
    write(`${pki}/client.pem`, credentials.client.certPem);
    write(`${pki}/client.key`, credentials.client.keyPem);
    write(`${pki}/token`, credentials.token);
    write(`${pki}/api-key`, credentials.apiKey);
  }
}
