// One self-contained page that shows the reports of all benches.
import { barChart, escapeHtml, lineChart } from "./charts.mjs";
import { formats } from "./table.mjs";

const STYLE = `
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222; }
  h1 { font-size: 1.6em; } h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc; } h3 { margin-bottom: 0.3em; }
  .note, .legend { color: #555; font-size: 0.9em; } .legend span { margin-right: 1.2em; white-space: nowrap; }
  .chart { width: 100%; max-width: 820px; } .axis text { font-size: 12px; fill: #444; } .axis line { stroke: #e4e4e4; }
  .wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85em; }
  th, td { padding: 0.15em 0.7em; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  th { border-bottom: 1px solid #999; } tr:nth-child(even) td { background: #f7f7f7; } .left { text-align: left; }
  td.bars { width: 420px; } td.bars div { background: #0072b2; height: 0.9em; } td.low { background: #fbe3d6 !important; }
  small { color: #666; } code { background: #f2f2f2; padding: 0 0.3em; }`;

/** Recalls below this are marked in the grid of filters. */
const LOW_RECALL = 0.99;

const nameOf = ({ store, variant, efConstruction }) =>
  [store, variant ?? (efConstruction && `ef_construction ${efConstruction}`)].filter(Boolean).join(", ");

/** Rows in groups of one store and variant each. */
function bySeries(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(nameOf(row), [...(groups.get(nameOf(row)) ?? []), row]);
  return [...groups].map(([name, rows]) => ({ name, store: rows[0].store, rows }));
}

/** A table as the terminal shows it. Formats are functions in a fresh report, and their names in one that was read. */
function tableHtml({ columns, rows }) {
  const formatOf = ({ format }) => (typeof format === "function" ? format : formats[format]);
  const isText = (column) => formatOf(column) === formats.text;
  const cell = (column, row) => (row[column.key] == null ? "-" : formatOf(column)(row[column.key]));
  const line = (tag, cells) =>
    `<tr>${cells.map((content, i) => `<${tag}${isText(columns[i]) ? ' class="left"' : ""}>${escapeHtml(content)}</${tag}>`).join("")}</tr>`;
  const head = line(
    "th",
    columns.map(({ title }) => title),
  );
  const body = rows.map((row) =>
    line(
      "td",
      columns.map((column) => cell(column, row)),
    ),
  );
  return `<div class="wide"><table>${head}${body.join("")}</table></div>`;
}

const curves = (rows, key, label) =>
  lineChart(
    bySeries(rows).map(({ rows, ...series }) => ({
      ...series,
      points: rows.filter((row) => row[key] != null).map((row) => [row.recall, row[key]]),
    })),
    { label: "recall@10", from: 0.85, to: 1 },
    { label, log: true },
  );

/** Filters down, stores across: queries a second with the recall beneath. */
function filterGrid({ rows }) {
  const stores = bySeries(rows).map(({ name }) => name);
  const cells = new Map();
  for (const row of rows) {
    const key = row.position;
    if (!cells.has(key)) cells.set(key, { row, byStore: new Map() });
    cells.get(key).byStore.set(nameOf(row), row);
  }
  const cell = (row) => {
    if (!row) return "<td>-</td>";
    const bad = row.recall < LOW_RECALL || row.wrongCounts > 0;
    const counts = row.wrongCounts > 0 ? `, ${row.wrongCounts} wrong counts` : "";
    const recall = `<small>${formats.recall(row.recall)}${counts}</small>`;
    return `<td${bad ? ' class="low"' : ""}>${formats.integer(row.qps)} ${recall}</td>`;
  };
  const head = ["kind", "share", "filter"].map((title) => `<th class="left">${title}</th>`);
  const line = ({ row, byStore }) =>
    `<tr><td class="left">${escapeHtml(row.kind)}</td><td>${formats.percent(row.share)}</td><td class="left"><code>${escapeHtml(row.filter)}</code></td>${stores.map((store) => cell(byStore.get(store))).join("")}</tr>`;
  const body = [...cells.values()].map(line);
  const titles = stores.map((store) => `<th>${escapeHtml(store)}</th>`);
  return (
    `<p class="note">Queries a second, recall beside; marked where recall is below ${LOW_RECALL} or a query was answered with another number of rows than min(k, matching).</p>` +
    `<div class="wide"><table><tr>${[...head, ...titles].join("")}</tr>${body.join("")}</table></div>`
  );
}

/** Rates of the intervals of an ingest, over the rows at their end. */
function ingestCurve({ rows, settings }) {
  const points = ({ intervalRates }) =>
    intervalRates.map((rate, i) => [((i + 1) * settings.rows) / intervalRates.length, rate]);
  const series = rows.map((row) => ({ name: nameOf(row), store: row.store, points: points(row) }));
  return lineChart(series, { label: "rows", from: 0 }, { label: "acknowledged rows/s", from: 0 });
}

const bars = (rows, key) =>
  barChart(
    rows
      .filter((row) => row[key] != null)
      .map((row) => ({ label: nameOf(row), value: row[key], shown: `${formats.integer(row[key])} MiB` })),
  );

/** What a bench's section shows before its table. */
const DRAWINGS = {
  search: ({ rows }) =>
    `<h3>One awaited query after another</h3>${curves(rows, "qps", "queries a second")}` +
    `<h3>16 in flight</h3>${curves(rows, "qpsInFlight", "queries a second")}` +
    `<h3>One call with all queries</h3>${curves(rows, "qpsBatch", "queries a second")}`,
  "index-alone": ({ rows }) => curves(rows, "qps", "queries a second, one thread"),
  filters: filterGrid,
  ingest: ingestCurve,
  memory: ({ rows }) =>
    `<h3>Resident memory that a store adds</h3>${bars(rows, "added")}<h3>Disk</h3>${bars(rows, "disk")}`,
  scale: (report) =>
    `<h3>One awaited query after another</h3>${curves(report.tables[0].rows, "qps", "queries a second")}` +
    `<h3>Ingest</h3>${ingestCurve(report)}`,
};

function section(report) {
  const { machine, commit, command, date, bench, missing, data } = report;
  const where = `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}`;
  const kernels = machine.isa === "best" ? "" : `, ${machine.isa} kernels`;
  const run = `<p class="note"><code>${escapeHtml(command)}</code><br>${escapeHtml(`${date.slice(0, 16)}Z, commit ${commit ?? "unknown"}, ${where}${kernels}`)}</p>`;
  const notes = [data, report.legend].filter(Boolean).map((note) => `<p class="note">${escapeHtml(note)}</p>`);
  const main = tableHtml(report);
  // The grid shows what matters of its table, which is long.
  const table = bench === "filters" ? `<details><summary>All figures</summary>${main}</details>` : main;
  const others = report.tables
    .filter(({ rows }) => rows.length > 0)
    .map(
      (table) =>
        `<h3>${escapeHtml(table.title)}</h3><p class="note">${escapeHtml(table.legend)}</p>${tableHtml(table)}`,
    );
  const left = missing.length > 0 ? `<p class="note">Not measured: ${escapeHtml(missing.join("; "))}</p>` : "";
  const drawing = report.rows.length > 0 ? (DRAWINGS[bench]?.(report) ?? "") : "";
  return `<h2>${escapeHtml(bench)}</h2>${run}${notes.join("")}${drawing}${table}${others.join("")}${left}`;
}

/** The page for `reports`, in the order of the benches' names. */
export function page(reports, order) {
  const sorted = [...reports].sort((a, b) => order.indexOf(a.bench) - order.indexOf(b.bench));
  const versions = Object.entries(sorted.at(-1)?.versions ?? {}).map(([name, version]) => `${name} ${version}`);
  const intro =
    "Recall is judged by exact neighbours computed over the same values. Absolute figures move from machine to machine and from run to run: compare within one run.";
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ferrochrome: benchmarks</title>
<style>${STYLE}
</style>
<h1>Ferrochrome: benchmarks</h1>
<p>${intro}</p>
<p class="note">${escapeHtml(versions.join(", "))}</p>
${sorted.map(section).join("\n")}
</html>
`;
}
