/** `ModelUpstream` in a process of its own, for tests that kill it: `node model-process.ts <port>`. */
import { ModelUpstream } from './model-upstream.ts';

await ModelUpstream.start(Number(process.argv[2]));
