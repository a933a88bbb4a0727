/**
 * `GET /usage` on the admin port: what was used, up to the moment of the question.
 */
import { err, ok, type Result } from '../kernel/result.ts';
import type { UsageKeeper } from '../usage/usage-keeper.ts';
import { USAGE_PARAMETERS, usageQuestion } from '../usage/usage-question.ts';
import { usageReport } from '../usage/usage-report.ts';

/** Lines of one answer: it is held in memory until it is sent. */
export const MAX_LINES = 20_000;
/** Questions that wait for one another; each may read months of hours. */
export const MAX_WAITING = 4;

/** Answers from a query's parameters. */
export async function usageQuery(query: URLSearchParams, usage: UsageKeeper): Promise<Result<object, string>> {
  const known: readonly string[] = USAGE_PARAMETERS;
  for (const name of new Set(query.keys())) {
    if (!known.includes(name)) return err(`a parameter is none of: ${known.join(', ')}`);
    if (query.getAll(name).length > 1) return err(`${name} comes twice`);
  }
  const asked = Object.fromEntries(USAGE_PARAMETERS.map((name) => [name, query.get(name) ?? undefined]));
  const question = usageQuestion(asked, Date.now());
  if (!question.ok) return question;
  if (usage.questions >= MAX_WAITING) return err(`${MAX_WAITING} questions about usage are being answered: ask again`);
  const report = await usage.ask((rollUp) => usageReport(rollUp, question.value, MAX_LINES));
  if (report.lines.length <= MAX_LINES) return ok(report);
  return err(
    `the answer has more than the ${MAX_LINES} lines that it may have: ask for a tenant, a shorter time or a longer span`,
  );
}
