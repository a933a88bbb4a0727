/**
 * Commands for a second terminal while the demo stays up: other people's clients, with the demo's certificates.
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { batchRequest } from './inference-batch.ts';
import { INPUT_NAMES, type ModelName, SAMPLES } from './models/samples.ts';
import type { Ink } from './render/ink.ts';
import type { Stage, Tenant } from './stage.ts';

const METHOD = 'inference.GRPCInferenceService/ModelInfer';
const PROTO = 'inference/grpc_inference_service.proto';

/** The lines to print. */
export function pasteCommands(stage: Stage, ink: Ink): string[] {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const place = relative(process.cwd(), stage.workplace.directory) || '.';
  const protos = relative(process.cwd(), `${root}proto`) || '.';
  const { acme, globex, port, adminPort } = stage;
  const token = `-H "authorization: Bearer $(cat ${place}/pki/acme/token)"`;
  const key = `-H "x-api-key: $(cat ${place}/pki/globex/api-key)"`;
  return [
    '',
    ink.bold('It stays up. In another terminal:'),
    '',
    ink.dim('# acme reads a digit'),
    grpcurl(place, protos, acme, port, token, requestJson('digits')),
    '',
    ink.dim('# globex asks for acme’s model: PERMISSION_DENIED'),
    grpcurl(place, protos, globex, port, key, requestJson('digits')),
    '',
    ink.dim('# globex classifies a wine, with buf'),
    bufCurl(place, protos, globex, port, key, requestJson('wine-cultivar')),
    '',
    ink.dim('# what the operator sees'),
    `curl -s http://127.0.0.1:${adminPort}/metrics`,
    `node src/main.ts audit verify ${place}/audit`,
    '',
    `Change ${place}/tenants/globex.yaml (say, add digits to its models): it takes effect at once, and no call is dropped.`,
    `Logs: ${place}/logs. Ctrl-C ends everything.`,
  ];
}

/** A ModelInfer request as protobuf's JSON mapping has it, for the first held-out sample. */
export function requestJson(model: ModelName): string {
  const [sample] = SAMPLES[model];
  const { inputs } = batchRequest(model, sample === undefined ? [] : [sample]);
  const shape = inputs[0]?.shape ?? [];
  return JSON.stringify({
    model_name: model,
    inputs: [
      { name: INPUT_NAMES[model], datatype: 'FP32', shape, contents: { fp32_contents: sample?.features ?? [] } },
    ],
  });
}

function grpcurl(place: string, protos: string, tenant: Tenant, port: number, header: string, json: string): string {
  const { id, serverName } = tenant.credentials;
  return [
    `grpcurl -cacert ${place}/pki/${id}/ca.pem -cert ${place}/pki/${id}/client.pem -key ${place}/pki/${id}/client.key`,
    `-servername ${serverName} -import-path ${protos} -proto ${PROTO} ${header}`,
    `-d '${json}' 127.0.0.1:${port} ${METHOD}`,
  ].join(' \\\n  ');
}

function bufCurl(place: string, protos: string, tenant: Tenant, port: number, header: string, json: string): string {
  const { id, serverName } = tenant.credentials;
  return [
    `buf curl --protocol grpc --schema ${protos} --servername ${serverName}`,
    `--cacert ${place}/pki/${id}/ca.pem --cert ${place}/pki/${id}/client.pem --key ${place}/pki/${id}/client.key ${header}`,
    `-d '${json}' https://127.0.0.1:${port}/${METHOD}`,
  ].join(' \\\n  ');
}
