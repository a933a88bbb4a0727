/**
 * JSON in which no object has the same member twice.
 *
 * RFC 8259 §4 leaves such an object's meaning to the parser; JSON.parse takes the last. Between an issuer, this proxy and a
 * model server that may read the same token, two meanings are one too many (RFC 7519 §4 lets a parser refuse).
 */
import { err, ok, type Result } from '../kernel/result.ts';

export type JsonObject = { readonly [member: string]: unknown };

const MAX_DEPTH = 16;

/** Parses UTF-8 bytes that hold one JSON object. The error says what is wrong, never what was read. */
export function parseStrictJsonObject(bytes: Uint8Array): Result<JsonObject, string> {
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    return err('not JSON in UTF-8');
  }
  if (!isJsonObject(value)) return err('not a JSON object');
  const problem = structureProblem(text);
  return problem === undefined ? ok(value) : err(problem);
}

/** True for a JSON object, neither array nor null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const STRUCTURE = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/**
 * Looks through text that JSON.parse accepted, where a string before a colon is a member's name. Only depth and names need
 * to be watched.
 */
function structureProblem(text: string): string | undefined {
  /** One set of names for each open object; undefined for each open array. */
  const open: (Set<string> | undefined)[] = [];
  let lastString = '';
  for (const [token] of text.matchAll(STRUCTURE)) {
    switch (token) {
      case '{':
      case '[':
        if (open.length === MAX_DEPTH) return 'nested too deeply';
        open.push(token === '{' ? new Set() : undefined);
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case ':': {
        const names = open.at(-1);
        // Names are compared as what they mean: `"a"` and `"\u0061"` are the same member.
        const name = String(JSON.parse(lastString));
        if (names?.has(name) === true) return 'a member stands in it twice';
        names?.add(name);
        break;
      }
      case ',':
        break;
      default:
        lastString = token;
    }
  }
  return undefined;
}
