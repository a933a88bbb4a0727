/**
 * The rows of `src/manual/model-servers.md`: every method that is read, from the tables that the data plane uses. A test holds
 * the page against them.
 */
import type { MethodRow } from '../../src/inspection/method-row.ts';
import { PROTOCOLS, type ProtocolName } from '../../src/inspection/protocols.ts';
import type { FieldPlan, PlanNode } from '../../src/protobuf/field-plan.ts';

/** One protocol's table, as Markdown. */
export function modelServerRows(protocol: ProtocolName): readonly string[] {
  const lines = ['| Method | Model read from | Must be named | May change |', '| --- | --- | --- | --- |'];
  for (const [service, rows] of PROTOCOLS[protocol]) {
    lines.push(`| **\`${service}\`** | | | |`);
    for (const [method, row] of rows)
      lines.push(`| \`${method}\` | ${readFrom(row)} | ${row.sensitive ? 'yes' : ''} | ${row.changes} |`);
  }
  return lines;
}

function readFrom({ plan, servedModel }: MethodRow): string {
  if (servedModel) return '`model` of the tenant’s file';
  if (plan === undefined) return '';
  return `${plan.repeated ? 'each ' : ''}${captures(plan).join(', ')}`;
}

function captures(plan: FieldPlan): readonly string[] {
  const seen = new Set<PlanNode>();
  const walk = (node: PlanNode): readonly string[] => {
    if (seen.has(node)) return [];
    seen.add(node);
    return node.fields.flatMap((field) => {
      if (field.kind === 'message') return walk(field.node);
      return field.kind === 'captured' || field.kind === 'integer' ? [`\`${field.name}\``] : [];
    });
  };
  return walk(plan.root);
}
