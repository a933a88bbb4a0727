/** vLLM's messages as far as tokens are in them, framed. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { frame } from './raw-grpc-client.ts';

export const GENERATE = '/vllm.grpc.engine.VllmEngine/Generate';
export const EMBED = '/vllm.grpc.engine.VllmEngine/Embed';

/** A GenerateRequest: so many tokens of prompt (undefined: it is text), and what it asks for. */
export function generateRequest(
  options: { readonly prompt?: number; readonly maxTokens?: number; readonly answers?: number } = {},
): Buffer {
  const { prompt, maxTokens, answers } = options;
  const writer = new BinaryWriter().tag(1, 2).string('request');
  if (prompt === undefined) writer.tag(3, 2).string('tell me of bulkheads');
  else {
    const tokenized = writer.tag(2, 2).fork().tag(1, 2).string('…').tag(2, 2).fork();
    for (let n = 0; n < prompt; n++) tokenized.uint32(1_000 + n);
    tokenized.join().join();
  }
  const sampling = writer.tag(4, 2).fork();
  if (maxTokens !== undefined) sampling.tag(8, 0).uint32(maxTokens);
  if (answers !== undefined) sampling.tag(15, 0).uint32(answers);
  return frame(Buffer.from(sampling.join().tag(5, 0).bool(true).finish()));
}

/** A piece of an answer, of so many tokens; `promptTokens`, `soFar`: as newer versions say with each. */
export function piece(tokens: number, promptTokens = 0, soFar = 0): Buffer {
  const chunk = new BinaryWriter().tag(1, 2).fork().tag(1, 2).fork();
  for (let n = 0; n < tokens; n++) chunk.uint32(30_000 + n);
  chunk.join();
  if (promptTokens > 0) chunk.tag(2, 0).uint32(promptTokens);
  if (soFar > 0) chunk.tag(3, 0).uint32(soFar);
  return frame(Buffer.from(chunk.join().finish()));
}

/** A whole answer, or the end of one that came in pieces. */
export function complete(tokens: number, promptTokens: number): Buffer {
  const writer = new BinaryWriter().tag(2, 2).fork().tag(2, 2).string('length');
  writer.tag(3, 0).uint32(promptTokens).tag(4, 0).uint32(tokens).join();
  return frame(Buffer.from(writer.finish()));
}
