/**
 * The values that configuration is made of: durations, sizes, rates, addresses. Each knows how it is written, what it
 * means, and what to say when it is written otherwise.
 *
 * A message that has a line break in it is two: what is wrong, and what would be right.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseTenantId } from '../kernel/ids.ts';
import { parseDurationMs, parseSizeBytes } from '../kernel/units.ts';

/** Joins what is wrong and what would be right. */
export function problem(message: string, fix: string): string {
  return `${message}\n${fix}`;
}

/** Quotes a value for a message, cut when it is long. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** Text of one form, kept as it is written. */
export function text(noun: string, pattern: RegExp, example: string, description: string): z.ZodType<string, string> {
  return written({ noun, pattern, example, description, parse: (written) => written });
}

/** Text of one form that may be a secret: messages do not repeat it. */
export function discreet(message: string, fix: string, pattern: RegExp, description: string): z.ZodString {
  const error = (issue: { readonly input?: unknown }): string | undefined =>
    issue.input === undefined ? undefined : problem(message, fix);
  return z.string({ error }).regex(pattern, { error }).meta({ description });
}

interface Written<T> {
  /** "a duration", for messages. */
  readonly noun: string;
  readonly pattern: RegExp;
  readonly example: string;
  readonly description: string;
  readonly parse: (text: string) => T | undefined;
  /** Says what is wrong with a value that parses; undefined when nothing is. */
  readonly judge?: (value: T) => string | undefined;
}

/** A value written as text in one way only. */
function written<T>(how: Written<T>): z.ZodType<T, string> {
  const fix = `write ${how.noun}, for example ${how.example}`;
  return z
    .string({
      error: (issue) =>
        issue.input === undefined ? undefined : problem(`${quote(issue.input)} is not ${how.noun}`, fix),
    })
    .regex(how.pattern, { error: (issue) => problem(`${quote(issue.input)} is not ${how.noun}`, fix) })
    .meta({ description: how.description, examples: [how.example] })
    .transform((text, context): T => {
      const value = how.parse(text);
      const wrong = value === undefined ? `${quote(text)} is not ${how.noun}` : how.judge?.(value);
      if (value === undefined || wrong !== undefined) {
        context.addIssue({ code: 'custom', message: problem(wrong ?? '', fix) });
        return z.NEVER;
      }
      return value;
    });
}

/** A duration with its unit, in milliseconds, within bounds that are written the same way. */
export function duration(description: string, example: string, min: string, max: string): z.ZodType<number, string> {
  const low = bound(min, parseDurationMs);
  const high = bound(max, parseDurationMs);
  return written({
    noun: 'a duration with its unit (us, ms, s, m, h, d)',
    pattern: /^\d{1,9}(us|ms|s|m|h|d)$/,
    example,
    description: `${description} From ${min} to ${max}.`,
    parse: parseDurationMs,
    judge: (value) => (value < low || value > high ? `must be from ${min} to ${max}` : undefined),
  });
}

/** A size with its unit, in bytes, within bounds that are written the same way. */
export function size(description: string, example: string, min: string, max: string): z.ZodType<number, string> {
  const low = bound(min, parseSizeBytes);
  const high = bound(max, parseSizeBytes);
  return written({
    noun: 'a size with its unit (B, KiB, MiB, GiB)',
    pattern: /^\d{1,12}(B|KiB|MiB|GiB)$/,
    example,
    description: `${description} From ${min} to ${max}.`,
    parse: parseSizeBytes,
    judge: (value) => (value < low || value > high ? `must be from ${min} to ${max}` : undefined),
  });
}

function bound(text: string, parse: (text: string) => number | undefined): number {
  const value = parse(text);
  if (value === undefined) throw new RangeError(`${text} is no bound`);
  return value;
}

/** A whole number within bounds. */
export function count(description: string, min: number, max: number): z.ZodType<number, number> {
  const message = problem(`must be a whole number from ${min} to ${max}`, `write a number from ${min} to ${max}`);
  return z
    .int({ error: (issue) => (issue.input === undefined ? undefined : message) })
    .min(min, message)
    .max(max, message)
    .meta({ description });
}

const PER_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `100/s`, `30/m`, `500/h`: in calls per second. */
export const rate = written({
  noun: 'a rate (per s, m or h)',
  pattern: /^[1-9]\d{0,8}\/(s|m|h)$/,
  example: '100/s',
  description: 'Calls per second, minute or hour.',
  parse: (text) => {
    const [calls, per] = text.split('/');
    const seconds = per === undefined ? undefined : PER_SECONDS[per];
    return calls === undefined || seconds === undefined ? undefined : Number(calls) / seconds;
  },
});

/** `100%`, `12.5%`: as a ratio from 0 to 1. */
export const percentage = written({
  noun: 'a percentage',
  pattern: /^\d{1,3}(\.\d{1,4})?%$/,
  example: '100%',
  description: 'A share of all, 0% to 100%.',
  parse: (text) => Number(text.slice(0, -1)) / 100,
  judge: (value) => (value > 1 ? 'must be from 0% to 100%' : undefined),
});

/** A share of a worker's time: as a ratio, never 0, by which nothing would ever be done. */
export const timeShare = written({
  noun: 'a percentage',
  pattern: /^\d{1,3}%$/,
  example: '20%',
  description: 'A share of the time, from 1% to 100%.',
  parse: (text) => Number(text.slice(0, -1)) / 100,
  judge: (value) => (value < 0.01 || value > 1 ? 'must be from 1% to 100%' : undefined),
});

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** `0.0.0.0:8443`, `[::1]:9901`. */
export const socketAddress: z.ZodType<SocketAddress, string> = written({
  noun: 'an IP address and a port',
  pattern: /^(\[[0-9a-fA-F:.]+\]|[0-9.]+):\d{1,5}$/,
  example: '0.0.0.0:8443',
  description: 'IP address and port; an IPv6 address stands in brackets; port 0 takes a free one.',
  parse: (text): SocketAddress | undefined => {
    const colon = text.lastIndexOf(':');
    const address = text.slice(0, colon).replace(/^\[|\]$/g, '');
    const port = Number(text.slice(colon + 1));
    const version = text.startsWith('[') ? 6 : 4;
    return isIP(address) === version && port <= 65_535 ? { address, port } : undefined;
  },
});

/** A path in the file system; empty is none. */
export const filePath = (description: string): z.ZodString =>
  z
    .string({
      error: (issue) =>
        issue.input === undefined
          ? undefined
          : problem(`${quote(issue.input)} is not a path`, 'write the path of a file'),
    })
    .min(1, problem('is empty', 'write the path of a file, relative to this one or absolute'))
    .max(4096)
    .meta({ description: `${description} Relative to this file, or absolute.` });

/** A tenant's id, an RFC 1123 label. */
export const tenantId = written({
  noun: 'a tenant id: lower-case letters, digits and hyphens, at most 63',
  pattern: /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
  example: 'acme',
  description: 'The tenant’s id. Keep it: quotas, audit records and traces are kept under it.',
  parse: parseTenantId,
});

const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;

/** An exact DNS name, made lower-case. */
export const serverName = written({
  noun: 'a DNS name without wildcard',
  pattern: DNS_NAME,
  example: 'acme.models.example',
  description: 'Name that this tenant’s clients connect to (TLS SNI), exact.',
  parse: (text) => (isIP(text) === 0 ? text.toLowerCase() : undefined),
  judge: (name) => (name.length > 253 ? 'is longer than 253 characters' : undefined),
});

/** Text that names something; nothing in it is given a meaning. */
export const name = (noun: string, description: string, max = 256): z.ZodString =>
  z
    .string({
      error: (issue) =>
        issue.input === undefined
          ? undefined
          : problem(`${quote(issue.input)} is not ${noun}`, `write ${noun} as text, in quotes if need be`),
    })
    .min(1, problem('is empty', `write ${noun}`))
    .max(max, problem(`is longer than ${max} characters`, 'shorten it'))
    .meta({ description });

/** A point in time with its zone, RFC 3339, in Unix seconds. */
export const timestamp = written({
  noun: 'a time with its zone (RFC 3339)',
  pattern: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/,
  example: '2030-01-31T00:00:00Z',
  description: 'A point in time, RFC 3339.',
  parse: (text) => {
    const milliseconds = Date.parse(text);
    // Date.parse takes February 30th for March 2nd.
    const lastDay = new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)).getUTCDate();
    if (Number.isNaN(milliseconds) || Number(text.slice(8, 10)) > lastDay) return undefined;
    return Math.floor(milliseconds / 1000);
  },
});

/** A list of so many entries at most. */
export const list = <T extends z.ZodType>(item: T, description: string, max = 1000): z.ZodArray<T> =>
  z
    .array(item, {
      error: (issue) =>
        issue.input === undefined ? undefined : problem(`${quote(issue.input)} is not a list`, 'write a list: [a, b]'),
    })
    .max(max, problem(`has more than ${max} entries`, 'split it'))
    .meta({ description });

/** A certificate chain and its key. */
export const keyPairSchema = (description: string) =>
  z
    .strictObject({
      chain: filePath('PEM file with the certificate first and its intermediates after it.'),
      key: filePath('PEM file with the private key, not encrypted.'),
    })
    .meta({ description });
