/**
 * A question about usage as somebody writes it, on the command line or in a URL.
 */
import { err, ok, type Result } from '../kernel/result.ts';
import { parseDurationMs } from '../kernel/units.ts';
import { DIMENSIONS, SPANS, type UsageQuestion } from './usage-report.ts';

/** What may be said; everything else has a default. */
export interface UsageAsked {
  readonly tenant?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly by?: string | undefined;
  readonly per?: string | undefined;
  readonly zone?: string | undefined;
}

export const USAGE_PARAMETERS = [
  'tenant',
  'since',
  'until',
  'by',
  'per',
  'zone',
] as const satisfies readonly (keyof UsageAsked)[];

const DEFAULT_SINCE = '30d';
const WHEN =
  'neither a duration back from now (10m, 2h, 30d), nor a date (2026-11-01), nor a time (2026-11-01T10:00:00Z)';

/** Checks it, or says what is wrong with which parameter. Dates are days of the zone. */
export function usageQuestion(asked: UsageAsked, nowMs: number): Result<UsageQuestion, string> {
  const { tenant, zone = 'UTC' } = asked;
  if (!isZone(zone)) return err('zone is no time zone such as UTC or Europe/Berlin');
  const by = SPANS.find((span) => span === (asked.by ?? 'day'));
  if (by === undefined) return err(`by is none of ${SPANS.join(', ')}`);
  const per = DIMENSIONS.find((dimension) => dimension === (asked.per ?? 'tenant'));
  if (per === undefined) return err(`per is none of ${DIMENSIONS.join(', ')}`);
  const sinceMs = parseWhen(asked.since ?? DEFAULT_SINCE, zone, nowMs);
  if (sinceMs === undefined) return err(`since is ${WHEN}`);
  const untilMs = asked.until === undefined ? Number.POSITIVE_INFINITY : parseWhen(asked.until, zone, nowMs);
  if (untilMs === undefined) return err(`until is ${WHEN}`);
  if (untilMs <= sinceMs) return err('until is not after since');
  return ok({ tenant, sinceMs, untilMs, by, per, zone });
}

function isZone(zone: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(zone);
    return true;
  } catch {
    return false;
  }
}

/** Milliseconds since the Unix epoch. */
function parseWhen(text: string, zone: string, nowMs: number): number | undefined {
  const backMs = parseDurationMs(text);
  if (backMs !== undefined) return nowMs - backMs;
  try {
    if (/^\d{4}-\d\d(?:-\d\d)?$/.test(text)) {
      const date = Temporal.PlainDate.from(text.length === 7 ? `${text}-01` : text);
      return date.toZonedDateTime(zone).epochMilliseconds;
    }
    return Temporal.Instant.from(text).epochMilliseconds;
  } catch {
    return undefined;
  }
}
