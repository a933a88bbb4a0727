/**
 * What reading the model costs: a ModelInfer of 1 KiB, framed, in one chunk. `node test/bench/inspection.ts`
 */
import { MessageInspector } from '../../src/inspection/message-inspector.ts';
import { SharedMemoryKeys } from '../../src/inspection/method-names.ts';
import { MethodTable } from '../../src/inspection/method-table.ts';
import { Namespace } from '../../src/inspection/namespace.ts';
import { servicesOf } from '../../src/inspection/protocols.ts';
import { ProtobufWriter } from '../../src/protobuf/writer.ts';

const PATH = '/inference.GRPCInferenceService/ModelInfer';
const LIMITS = { maxMessageBytes: 4 << 20, maxInflatedBytes: 4 << 20 };
const CALLS = 500_000;

const message = new ProtobufWriter()
  .string(1, 'digits-shared')
  .string(2, '1')
  .string(3, 'request-000001')
  .begin(5)
  .string(1, 'input')
  .string(2, 'FP32')
  .end()
  .begin(6)
  .string(1, 'output')
  .end()
  .string(7, 'x'.repeat(950))
  .view();
const framed = Buffer.concat([Buffer.from([0, 0, 0, message.length >> 8, message.length & 0xff]), message]);
const half = framed.length >> 1;
const halves = [framed.subarray(0, half), framed.subarray(half)] as const;
const table = new MethodTable([]);
const named = new MethodTable(
  [],
  { services: servicesOf(['triton']), model: '' },
  { namespace: new Namespace('acme', Buffer.alloc(32, 1)), keys: new SharedMemoryKeys(['acme.']) },
);
/** The same without an id: nothing that stands in a namespace. */
const nameless = Buffer.from(framed);
nameless.set([0x72], framed.indexOf('\x1a\x0erequest', 0, 'latin1'));

function inspectOnce(chunks: readonly Buffer[], methods: MethodTable): number {
  const entry = methods.find(PATH);
  if (entry === undefined) throw new Error('no such method');
  const inspector = new MessageInspector(entry, 'identity', LIMITS);
  let outcome = '';
  for (const chunk of chunks) outcome = inspector.scan(chunk, 0);
  if (outcome !== 'message' || inspector.finish() !== undefined) throw new Error('not inspected');
  return inspector.model.length + (inspector.rewrite?.takeOutput().length ?? 0);
}

function measure(name: string, chunks: readonly Buffer[], methods = table): number {
  const times: number[] = [];
  let checksum = 0;
  for (let round = 0; round < 6; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < CALLS; i++) checksum += inspectOnce(chunks, methods);
    const used = process.cpuUsage(start);
    // The first round warms up.
    if (round > 0) times.push(((used.user + used.system) * 1_000) / CALLS);
  }
  times.sort((a, b) => a - b);
  const [min, median] = [times[0] ?? 0, times[times.length >> 1] ?? 0];
  process.stdout.write(
    `${name}: ${median.toFixed(0)} ns CPU per call (least ${min.toFixed(0)}; checksum ${checksum})\n`,
  );
  return median;
}

const plain = measure(`ModelInfer of ${framed.length} bytes in one chunk`, [framed]);
measure('the same in two chunks', halves);
for (const [what, chunks] of [
  ['without a name', [nameless]],
  ['with a request id', [framed]],
  ['with a request id, in two chunks', halves],
] as const) {
  const ratio = measure(`in a namespace, ${what}`, chunks, named) / plain;
  process.stdout.write(`  ${ratio.toFixed(2)} times as much\n`);
}
