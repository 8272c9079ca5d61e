// npm run bench -- <name> [options]
//
// Measures Ferrochrome and the installed peers side by side, prints tables and writes benches/results/<name>.json.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { printReport, provenance } from "./bench-report.mjs";
import { ALL_QUERIES, ALL_ROWS, missingDataset } from "./dataset.mjs";
import { page } from "./page.mjs";
import { installPython } from "./peers/python.mjs";
import { STORES } from "./peers/stores.mjs";
import { measureStores, runChild, say } from "./side-by-side.mjs";
import { formatNames } from "./table.mjs";

/** The benches, each a module of the same name; side-by-side.mjs says what it exports. */
const BENCHES = {
  search:
    "recall@10 against queries a second, over a sweep of the search width; without --stores also runs index-alone",
  "index-alone": "the index without a database beside hnswlib's C++, on one thread; build times",
  filters: "recall, result counts and speed with filters of every share and kind",
  ingest: "rows a second while the collection grows, time until all are indexed, blocks of the event loop",
  open: "from a fresh process to the first answer; the package's import and size",
  segments: "opening and queries when the rows lie in 1, 10 and 100 segments",
  fork: "forks, versions and snapshots at several sizes, beside cp -a",
  memory: "resident memory after 2,000 queries, and disk",
  dimensions: "recall, memory and speed with vectors shortened to 256, 192 and 128 dimensions",
  http: "queries and writes of the stock client over HTTP, beside Chroma's own server",
  ffi: "the cost of the boundary per call, argument and result row",
  scale: "1,000,000 rows or more, from a seeded generator",
  compact:
    "compaction after replacing a fifth of the rows ten times and after deleting nine tenths; a fresh build beside",
  import: "rows a second of importing a directory that Chroma wrote, given by --directory",
  export: "rows and megabytes a second of exporting to files of each format, and of importing them",
};

/** Rows that `scale` takes unless told otherwise. */
const SCALE_ROWS = 1_000_000;
/** Benches that take more rows than the set has, and the most. */
const WITH_COPIES = ["scale", "index-alone"];
const MOST_ROWS = 100_000_000;

const USAGE = `npm run bench -- <name> [options]

${Object.entries(BENCHES)
  .map(([name, does]) => `  ${name.padEnd(14)}${does}`)
  .join("\n")}
  all           every bench but scale and import
  install-peers installs the stores that Ferrochrome is measured against

  --rows N        use the first N entries (all: ${ALL_ROWS}; scale: any number, ${SCALE_ROWS}; index-alone: any number)
  --queries N     use the first N query sentences (all: ${ALL_QUERIES})
  --stores a,b    measure only these: ${STORES.join(", ")}
  --seconds S     cut a measurement that takes longer short (10)
  --rounds N      measure all stores, one after another, so often, and show the middle value of each figure (1)
  --batch N       rows a batch (1000)
  --dim N         scale: 384 for WordNet with noise, anything else for seeded clusters (384)
  --directory D   import: the directory that Chroma wrote
  --results F     the folder for results, stores and exact answers (benches/results)
  --fresh         build every store anew instead of using that of an earlier run
  --html          all: also write one page with all results, report.html in the results
  --report-only   all: write the page from the results of earlier runs, without measuring`;

const OPTIONS = {
  rows: { type: "string" },
  queries: { type: "string", default: String(ALL_QUERIES) },
  stores: { type: "string" },
  seconds: { type: "string", default: "10" },
  rounds: { type: "string", default: "1" },
  batch: { type: "string", default: "1000" },
  dim: { type: "string", default: "384" },
  results: { type: "string", default: fileURLToPath(new URL("results", import.meta.url)) },
  directory: { type: "string" },
  fresh: { type: "boolean", default: false },
  html: { type: "boolean", default: false },
  "report-only": { type: "boolean", default: false },
};

function parseArguments() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
  values.rows ??= String(positionals[0] === "scale" ? SCALE_ROWS : ALL_ROWS);
  const count = (name, most) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new Error(`--${name} must be an integer from 1 to ${most}, got ${values[name]}`);
    }
    return value;
  };
  const positive = (name) => {
    if (!(Number(values[name]) > 0)) throw new Error(`--${name} must be greater than 0, got ${values[name]}`);
    return Number(values[name]);
  };
  const stores = values.stores?.split(",") ?? STORES;
  const unknown = stores.find((name) => !STORES.includes(name));
  if (unknown) throw new Error(`--stores: there is no store called ${unknown}; there are ${STORES.join(", ")}`);
  return {
    bench: positionals[0],
    stores,
    allStores: values.stores === undefined,
    results: values.results,
    directory: values.directory,
    fresh: values.fresh,
    html: values.html,
    reportOnly: values["report-only"],
    settings: {
      rows: count("rows", WITH_COPIES.includes(positionals[0]) ? MOST_ROWS : ALL_ROWS),
      queries: count("queries", ALL_QUERIES),
      seconds: positive("seconds"),
      rounds: count("rounds", 100),
      batch: count("batch", 100_000),
      dimension: count("dim", 4_096),
    },
  };
}

/** Installs what can be: the peers from npm, and hnswlib for Python. */
function installPeers() {
  const { status } = spawnSync(
    "npm",
    ["--prefix", fileURLToPath(new URL(".", import.meta.url)), "ci", "--no-audit", "--no-fund"],
    {
      stdio: "inherit",
      shell: process.platform === "win32",
    },
  );
  const missing = installPython();
  if (missing) say(missing);
  return status ?? 1;
}

/** Runs one bench, prints its tables and writes its report. */
async function runBench(bench, options, tools = {}) {
  const module = await import(`./${bench}.mjs`);
  const measured = module.run
    ? await module.run(options, { say, runChild, ...tools })
    : await measureStores(bench, module, options);
  const { columns, legend } = module;
  const report = {
    bench,
    ...provenance(),
    settings: { ...options.settings, ...module.fixedSettings },
    legend,
    columns,
    ...measured,
  };
  printReport(report);
  // A run with forced kernels stands beside the other, not in its place.
  const isa = process.env.FERROCHROME_ISA ? `-${process.env.FERROCHROME_ISA}` : "";
  const name = (module.reportName?.(options.settings) ?? bench) + isa;
  writeFileSync(join(options.results, `${name}.json`), `${JSON.stringify(report, formatNames, 2)}\n`);
  if (module.followedBy && options.allStores) await runBench(module.followedBy, options, { [bench]: report });
}

/** Writes the page that shows every report of benches/results. */
function writePage(results) {
  const files = readdirSync(results).filter(
    (name) => /^[a-z][a-z0-9-]*\.json$/.test(name) && !name.startsWith("exact-"),
  );
  const reports = files
    .map((name) => JSON.parse(readFileSync(join(results, name), "utf8")))
    .filter(({ bench }) => bench in BENCHES);
  const file = join(results, "report.html");
  writeFileSync(file, page(reports, Object.keys(BENCHES)));
  say(`Wrote ${file}`);
}

async function main() {
  const { bench, html, reportOnly, ...options } = parseArguments();
  if (bench === "install-peers") return installPeers();
  if (bench !== "all" && !(bench in BENCHES)) throw new Error(USAGE);
  const missing = bench === "import" ? undefined : missingDataset();
  if (missing) throw new Error(missing);

  mkdirSync(join(options.results, "stores"), { recursive: true });
  if (bench !== "all") await runBench(bench, options);
  else if (!reportOnly) {
    // The search bench runs index-alone, scale takes hours, and import needs a directory.
    const left = ["index-alone", "scale", "import"];
    for (const name of Object.keys(BENCHES)) if (!left.includes(name)) await runBench(name, options);
  }
  if (bench === "all" && (html || reportOnly)) writePage(options.results);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
