/**
 * The chart: small panels of horizontal bars, the median with the spread of the rounds as a line through its end. It carries both
 * colour schemes, and follows the reader's.
 */
import { QUIET_LOAD, QUIET_SHARE } from './machine.ts';
import type { BenchResult } from './result.ts';
import type { Features, Metric, Row, SubjectName } from './row.ts';

interface Panel {
  readonly title: string;
  readonly note: string;
  /** The axis, or how its name begins. */
  readonly axis: string;
  readonly metric: Metric;
  readonly scale: number;
}

const PANELS: readonly Panel[] = [
  { title: '10 connections × 50 streams', note: 'CPU µs per call', axis: '10x50', metric: 'cpu_per_call', scale: 1 },
  { title: '10 connections × 1 stream', note: 'CPU µs per call', axis: '10x1', metric: 'cpu_per_call', scale: 1 },
  { title: '1 connection × 1 stream', note: 'CPU µs per call', axis: '1x1', metric: 'cpu_per_call', scale: 1 },
  { title: '1 MiB messages', note: 'CPU µs per call', axis: '10x1 1MiB', metric: 'cpu_per_call', scale: 1 },
  { title: 'Added latency', note: 'p99, µs, open loop', axis: 'open loop', metric: 'added_p99', scale: 1 },
  { title: 'Idle connection', note: 'resident KB each', axis: '1000 idle', metric: 'rss_per_connection', scale: 1000 },
];

interface Line {
  readonly label: string;
  readonly subject: SubjectName;
  readonly features: Features;
  /** Gap above it. */
  readonly group?: string;
}

const LINES: readonly Line[] = [
  { label: 'Bulkhead', subject: 'bulkhead', features: 'relay', group: 'relay only' },
  { label: 'HAProxy', subject: 'haproxy', features: 'relay' },
  { label: 'Envoy', subject: 'envoy', features: 'relay' },
  { label: 'nginx', subject: 'nginx', features: 'relay' },
  { label: 'Bulkhead', subject: 'bulkhead', features: 'everything', group: 'everything on' },
  { label: 'Envoy', subject: 'envoy', features: 'everything' },
];

const COLUMNS = 3;
const LABELS = 84;
const PANEL = 232;
const GAP = 26;
/** Right of the longest bar, for its number. */
const NUMBER = 62;
const BAR = 15;
const STEP = 22;
const GROUP = 22;
const HEAD = 42;
const PANEL_GAP = 26;
const MARGIN = 16;
const FOOT = 40;

const LINES_HEIGHT = LINES.length * STEP + LINES.filter((line) => line.group !== undefined).length * GROUP;
const PANEL_HEIGHT = HEAD + LINES_HEIGHT;

/** Draws what was measured; panels without rows are left out. */
export function chart({ rows, machine, othersShare, plan, startedAt }: BenchResult): string {
  const panels = PANELS.filter((panel) => LINES.some((line) => find(rows, panel, line) !== undefined));
  const panelRows = Math.ceil(panels.length / COLUMNS);
  const width = MARGIN * 2 + COLUMNS * (LABELS + PANEL) + (COLUMNS - 1) * GAP;
  const height = MARGIN * 2 + panelRows * PANEL_HEIGHT + Math.max(0, panelRows - 1) * PANEL_GAP + FOOT;
  const isBusy = machine.loadBefore > QUIET_LOAD || othersShare > QUIET_SHARE;
  const busy = isBusy ? `; others used ${Math.round(othersShare * 100)} % of the machine` : '';
  const about =
    `Smaller is better. Median of the rounds, line from least to most. One core for the proxy. ` +
    `${startedAt.slice(0, 10)}, ${plan} run${busy}.`;
  const versions =
    `${machine.cpu}, Linux ${machine.kernel}; Node ${machine.node}, HAProxy ${machine.haproxy}, ` +
    `nginx ${machine.nginx}, Envoy ${machine.envoy}.`;
  const drawn = panels.map((panel, index) => {
    const x = MARGIN + (index % COLUMNS) * (LABELS + PANEL + GAP);
    const y = MARGIN + Math.floor(index / COLUMNS) * (PANEL_HEIGHT + PANEL_GAP);
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel, rows)}</g>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="CPU per call, added latency and memory of Bulkhead, HAProxy, nginx and Envoy">
<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #3d444d }
.title { font-weight: 600; font-size: 13px; fill: #1f2328 }
.note, .about, .group { fill: #656d76; font-size: 11px }
.group { font-style: italic }
.ours { font-weight: 600; fill: #1f2328 }
.bar { fill: #b8c0c8 }
.bar.ours { fill: #0a7ea4 }
.spread { stroke: #1f2328; stroke-width: 1.2; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #c9d1d9 }
.title, .ours { fill: #f0f6fc }
.note, .about, .group { fill: #9198a1 }
.bar { fill: #57606a }
.bar.ours { fill: #39b5dd }
.spread { stroke: #f0f6fc }
}
</style>
${drawn.join('')}<text class="about" x="${MARGIN}" y="${height - MARGIN - 16}">${escaped(about)}</text>
<text class="about" x="${MARGIN}" y="${height - MARGIN}">${escaped(versions)}</text>
</svg>
`;
}

function drawPanel(panel: Panel, rows: readonly Row[]): string {
  const found = LINES.map((line) => ({ line, row: find(rows, panel, line) }));
  const most = Math.max(...found.map(({ row }) => (row === undefined ? 0 : row.max / panel.scale)), 1e-9);
  const room = PANEL - NUMBER;
  const at = (value: number): number => Number((LABELS + (Math.max(0, value) / panel.scale / most) * room).toFixed(1));
  let out = `<text class="title" x="0" y="12">${escaped(panel.title)}</text>\n`;
  out += `<text class="note" x="0" y="28">${escaped(panel.note)}</text>\n`;
  let y = HEAD;
  for (const { line, row } of found) {
    if (line.group !== undefined) {
      out += `<text class="group" x="0" y="${y + 13}">${line.group}</text>\n`;
      y += GROUP;
    }
    const ours = line.subject === 'bulkhead' ? ' ours' : '';
    const baseline = y + BAR - 3;
    out += `<text class="label${ours}" x="0" y="${baseline}">${line.label}</text>\n`;
    if (row === undefined) {
      out += `<text class="note" x="${LABELS}" y="${baseline}">–</text>\n`;
    } else {
      const middle = y + BAR / 2;
      const [from, to] = [at(row.min), at(row.max)];
      out += `<rect class="bar${ours}" x="${LABELS}" y="${y}" width="${(at(row.median) - LABELS).toFixed(1)}" height="${BAR}" rx="2"/>\n`;
      out += `<path class="spread" d="M${from} ${middle - 3}v6M${to} ${middle - 3}v6M${from} ${middle}H${to}"/>\n`;
      out += `<text class="number${ours}" x="${to + 6}" y="${baseline}">${numberText(row.median / panel.scale)}</text>\n`;
    }
    y += STEP;
  }
  return out;
}

function find(rows: readonly Row[], panel: Panel, line: Line): Row | undefined {
  const named = (axis: string): boolean =>
    panel.metric === 'cpu_per_call' ? axis === panel.axis : axis.startsWith(panel.axis);
  return rows.find(
    (row) =>
      row.subject === line.subject && row.features === line.features && row.metric === panel.metric && named(row.axis),
  );
}

function numberText(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
