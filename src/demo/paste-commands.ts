/**
 * Commands for a second terminal while the demo stays up: other people's clients, with the demo's certificates.
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SAMPLES } from './models/samples.ts';
import type { Ink } from './render/ink.ts';
import type { Stage, Tenant } from './stage.ts';

const METHOD = 'inference.GRPCInferenceService/ModelInfer';
const PROTO = 'inference/grpc_inference_service.proto';

/** The lines to print. */
export function pasteCommands(stage: Stage, ink: Ink): string[] {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const place = displayPath(stage.workplace.directory);
  const protos = displayPath(`${root}proto`);
  const { acme, globex, port, adminPort } = stage;
  const token = `-H "authorization: Bearer $(cat ${place}/pki/acme/token)"`;
  const key = `-H "x-api-key: $(cat ${place}/pki/globex/api-key)"`;
  return [
    '',
    ink.bold('It stays up. In another terminal:'),
    '',
    ink.dim(
      `# acme reads a ${SAMPLES.digits[0]?.truth}: the second raw output is the label, ${labelBase64(SAMPLES.digits[0]?.truth ?? 0)}`,
    ),
    grpcurl(place, protos, acme, port, token, 'digit.json'),
    '',
    ink.dim('# globex asks for acme’s model: PERMISSION_DENIED'),
    grpcurl(place, protos, globex, port, key, 'digit.json'),
    '',
    ink.dim('# globex tells a wine, with buf'),
    bufCurl(place, protos, globex, port, key, 'wine.json'),
    '',
    ink.dim('# what the operator sees'),
    `curl -s http://127.0.0.1:${adminPort}/metrics`,
    `node_modules/.bin/node ${displayPath(`${root}src/main.ts`)} audit verify ${place}/audit`,
    '',
    `Change ${place}/tenants/globex.yaml (say, add digits to its models): it takes effect at once, and no call is dropped.`,
    `Logs: ${place}/logs. Ctrl-C ends everything.`,
  ];
}

/** A path as one would type it here: relative, unless that leads out of here. */
export function displayPath(path: string): string {
  const way = relative(process.cwd(), path) || '.';
  return way.startsWith('..') ? path : way;
}

/** How an INT64 label looks in JSON: little-endian bytes in base64. */
function labelBase64(label: number): string {
  return Buffer.from(BigInt64Array.of(BigInt(label)).buffer).toString('base64');
}

function grpcurl(place: string, protos: string, tenant: Tenant, port: number, header: string, request: string): string {
  const { id, serverName } = tenant.credentials;
  return [
    `grpcurl -cacert ${place}/pki/${id}/ca.pem -cert ${place}/pki/${id}/client.pem -key ${place}/pki/${id}/client.key`,
    `-authority ${serverName} -import-path ${protos} -proto ${PROTO}`,
    `${header} -d @ 127.0.0.1:${port} ${METHOD} < ${place}/requests/${request}`,
  ].join(' \\\n  ');
}

function bufCurl(place: string, protos: string, tenant: Tenant, port: number, header: string, request: string): string {
  const { id, serverName } = tenant.credentials;
  return [
    `buf curl --cacert ${place}/pki/${id}/ca.pem --cert ${place}/pki/${id}/client.pem --key ${place}/pki/${id}/client.key`,
    `--servername ${serverName} --protocol grpc --schema ${protos}`,
    `${header} -d @${place}/requests/${request} https://127.0.0.1:${port}/${METHOD}`,
  ].join(' \\\n  ');
}
