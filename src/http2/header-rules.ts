/**
 * What a whole header block must be (RFC 9113 §8.2, §8.3), decided from its traits. Each rule returns undefined, or why the
 * block is malformed; the text goes to records, never to the peer.
 */
import type { HeaderBlock } from './contract.ts';
import { classify, joinTraits, Trait } from './header-traits.ts';

/** A request's first header block. */
export function requestFault(block: HeaderBlock, traits: number): string | undefined {
  if ((traits & Trait.MALFORMED) !== 0) return malformedField(block);
  if ((traits & Trait.STATUS) !== 0) return 'a request has :status';
  if ((traits & Trait.METHOD) === 0) return 'a request has no :method';
  if ((traits & Trait.CONNECT) !== 0) return connectFault(traits);
  if ((traits & Trait.SCHEME) === 0) return 'a request has no :scheme';
  if ((traits & Trait.PATH) === 0) return 'a request has no :path';
  if ((traits & (Trait.ASTERISK | Trait.OPTIONS)) === Trait.ASTERISK) return 'a request without OPTIONS asks for *';
  return (traits & Trait.HOST) !== 0 ? hostFault(block) : undefined;
}

/** A response's header block, informational or final. */
export function responseFault(block: HeaderBlock, traits: number, endStream: boolean): string | undefined {
  if ((traits & Trait.MALFORMED) !== 0) return malformedField(block);
  if ((traits & REQUEST_PSEUDO) !== 0) return "a response has a request's pseudo-field";
  if ((traits & Trait.STATUS) === 0) return 'a response has no :status';
  return endStream && (traits & Trait.INFORMATIONAL) !== 0 ? 'an informational response ends its stream' : undefined;
}

/** Trailers, of a request or of a response. */
export function trailerFault(block: HeaderBlock, traits: number, endStream: boolean): string | undefined {
  if ((traits & Trait.MALFORMED) !== 0) return malformedField(block);
  if ((traits & (REQUEST_PSEUDO | Trait.STATUS)) !== 0) return 'trailers have a pseudo-field';
  return endStream ? undefined : 'trailers do not end their stream';
}

/** The value of the block's `name`, or undefined. */
export function fieldValue(block: HeaderBlock, name: string): string | undefined {
  for (let at = 0; at < block.length; at += 2) if (block[at] === name) return block[at + 1];
  return undefined;
}

const REQUEST_PSEUDO = Trait.METHOD | Trait.SCHEME | Trait.PATH | Trait.AUTHORITY;

function connectFault(traits: number): string | undefined {
  if ((traits & (Trait.SCHEME | Trait.PATH)) !== 0) return 'CONNECT has :scheme or :path';
  return (traits & Trait.AUTHORITY) === 0 ? 'CONNECT has no :authority' : undefined;
}

/** Two different hosts in one request are two readings of it (RFC 9113 §8.3.1). */
function hostFault(block: HeaderBlock): string | undefined {
  const authority = fieldValue(block, ':authority');
  const differs = authority !== undefined && authority !== fieldValue(block, 'host');
  return differs ? 'host differs from :authority' : undefined;
}

/** Finds again which field made the block malformed. */
function malformedField(block: HeaderBlock): string {
  let seen = 0;
  for (let at = 0; at < block.length; at += 2) {
    const name = block[at] ?? '';
    seen = joinTraits(seen, classify(name, block[at + 1] ?? ''));
    if ((seen & Trait.MALFORMED) !== 0) return `malformed field ${JSON.stringify(name.slice(0, 64))}`;
  }
  return 'malformed field';
}
