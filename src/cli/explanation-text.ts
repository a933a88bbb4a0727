/**
 * An explanation as people read it.
 */
import type { CallRecord } from '../audit/record.ts';
import type { RuleReport } from '../authz/rule-report.ts';
import type { Explanation } from '../proxy/explain/explanation.ts';
import type { RecordedDecision } from '../proxy/explain/recorded.ts';
import { statusText } from '../telemetry/names.ts';

/** Verdict, gates, reason and remedies, a line each. */
export function explanationText(explanation: Explanation): string {
  const { verdict, tenant, caller, refusal, gates, rules, shadow, assumed } = explanation;
  const who = caller === '' ? '(nobody authenticated)' : caller;
  const width = Math.max(...gates.map(({ rule }) => rule.length));
  const lines = [
    `${verdict}: ${who} of ${tenant}, ${whatOf(explanation)}`,
    '',
    ...gates.map(({ gate, verdict: of, rule, detail }) =>
      `  ${of.padEnd(11)}  ${gate.padEnd(12)}  ${rule.padEnd(width)}  ${detail}`.trimEnd(),
    ),
    '',
  ];
  lines.push(...rules.flatMap(ruleLines));
  if (rules.length > 0) lines.push('');
  if (shadow !== undefined) lines.push(`in shadow: ${shadow.rule} would ${shadow.verdict} it`);
  if (refusal !== undefined) {
    const { status, reason, message, why, allow } = refusal;
    lines.push(`the caller sees: ${status}, ${reason}, "${message}"`, `why: ${why}`, 'what would have allowed it:');
    lines.push(...allow.map((one) => `  - ${one}`));
  }
  lines.push(...assumed.map((one) => `assumed: ${one}`));
  return `${lines.map(plain).join('\n').trimEnd()}\n`;
}

/** A rule, what became of it, and the values that its conditions saw. */
function ruleLines({ effect, shadow, rule, verdict, why, conditions }: RuleReport): readonly string[] {
  const head = `  ${effect.padEnd(5)}${shadow ? ' (shadow)' : ''}  ${rule}: ${verdict}${why === '' ? '' : `, ${why}`}`;
  const body = conditions.flatMap(({ text, met, seen }) => [
    `      ${met === 'failed' ? 'failed' : met ? 'met' : 'not met'}: ${text.replaceAll(/\s+/g, ' ')}`,
    ...seen.map((value) => `        ${value}`),
  ]);
  return [head, ...body];
}

/** What was decided when the call was made. */
export function recordedText(then: RecordedDecision, record: CallRecord): string {
  const who = record.caller === '' ? '(nobody authenticated)' : record.caller;
  const method = record.method === '_OTHER' ? record.methodOriginal : record.method;
  const what = whatOf({ method, model: record.model, modelVersion: record.modelVersion });
  const at = new Date(then.startedAt / 1_000).toISOString();
  const gate = then.gate === undefined ? '' : ` by ${then.gate}`;
  return [
    `then: ${then.verdict}${gate}: ${who} of ${record.tenant}, ${what}`,
    `  ${at}, generation ${then.generation}, ${statusText(then.grpcStatus)}, trace ${then.traceId}`,
    ...(then.rule === '' ? [] : [`  rule: ${then.rule}`]),
    ...(then.reason === '' ? [] : [`  reason: ${then.reason} ${then.detail}`.trimEnd()]),
    '',
  ]
    .map(plain)
    .join('\n');
}

function whatOf({ method, model, modelVersion }: Pick<Explanation, 'method' | 'model' | 'modelVersion'>): string {
  const version = modelVersion === '' ? '' : ` version ${modelVersion}`;
  return model === '' ? method : `${method} for model ${model}${version}`;
}

/** Names on record are the callers' own: what could move a terminal's cursor is shown, not sent. */
function plain(line: string): string {
  return line.replace(CONTROL, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
}

// oxlint-disable-next-line eslint/no-control-regex -- these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
