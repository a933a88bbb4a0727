/** A thread that asks for V8's collector again and again, and says how often it was there. */
import { parentPort, workerData } from 'node:worker_threads';
import { collector } from '../../../src/kernel/heap.ts';

const times = Number(workerData);
for (let i = 0; i < times; i++) collector()({ type: 'minor', execution: 'sync' });
parentPort?.postMessage(times);
