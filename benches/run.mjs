// npm run bench -- <name> [--rows N] [--queries N] [--stores a,b] [--seconds S] [--batch N] [--fresh]
//
// Measures Ferrochrome and the installed peers side by side, prints a table and writes benches/results/<name>.json.
import { fork, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  ALL_QUERIES,
  ALL_ROWS,
  missingDataset,
  readEntries,
  readExactNeighbors,
  readIds,
  readQueries,
} from "./dataset.mjs";
import { exactNeighbors } from "./exact.mjs";
import { FILTERS, filterMask } from "./filters.mjs";
import { loadStore, STORES } from "./peers/stores.mjs";
import { tableLines } from "./table.mjs";

const K = 10;
/** Queries that filters are judged by: their exact answers are computed anew for every filter. */
const FILTER_QUERIES = 200;
const BENCHES = ["search", "ingest", "filters", "open", "memory"];

const folder = fileURLToPath(new URL(".", import.meta.url));
const results = `${folder}results/`;

const USAGE = `npm run bench -- <name> [options]

  search          recall@10 against queries a second, over a sweep of the search width
  ingest          rows a second while the collection grows, and the time until all are indexed
  filters         recall and speed with where and whereDocument of every share
  open            from a fresh process to the first answer
  memory          resident memory after 2,000 queries, and disk
  install-peers   installs the stores that Ferrochrome is measured against

  --rows N        use the first N entries (all: ${ALL_ROWS})
  --queries N     use the first N query sentences (all: ${ALL_QUERIES})
  --stores a,b    measure only these: ${STORES.join(", ")}
  --seconds S     cut a measurement that takes longer short (10)
  --batch N       rows a batch (1000)
  --fresh         build every store anew instead of using that of an earlier run`;

function parseArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rows: { type: "string", default: String(ALL_ROWS) },
      queries: { type: "string", default: String(ALL_QUERIES) },
      stores: { type: "string", default: STORES.join(",") },
      seconds: { type: "string", default: "10" },
      batch: { type: "string", default: "1000" },
      fresh: { type: "boolean", default: false },
    },
  });
  const count = (name, most) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new Error(`--${name} must be an integer from 1 to ${most}, got ${values[name]}`);
    }
    return value;
  };
  const stores = values.stores.split(",");
  const unknown = stores.find((name) => !STORES.includes(name));
  if (unknown) throw new Error(`--stores: there is no store called ${unknown}; there are ${STORES.join(", ")}`);
  return {
    bench: positionals[0],
    stores,
    fresh: values.fresh,
    settings: {
      rows: count("rows", ALL_ROWS),
      queries: count("queries", ALL_QUERIES),
      seconds: count("seconds", 3_600),
      batch: count("batch", 100_000),
    },
  };
}

const say = (line) => process.stderr.write(`${line}\n`);

/** What the machine is, so that a figure can be judged. */
const machine = () => ({
  cpu: cpus()[0].model,
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform}-${process.arch}`,
  node: process.version,
});

/** Runs a job in a process of its own: `{ rows }`, or `{ reason }` why there are none. */
function runChild(job) {
  return new Promise((resolve) => {
    const child = fork(`${folder}child.mjs`, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    let outcome = null;
    child.on("message", (message) => {
      outcome = message;
    });
    child.on("exit", (code, signal) =>
      resolve(outcome ?? { reason: `failed: the process ended with ${signal ?? code}` }),
    );
    child.send(job);
  });
}

/** Writes the exact answers that a bench is judged by, once, and returns the file. */
function writeTruth(kind, { rows, queries }) {
  const count = kind === "search" ? queries : Math.min(queries, FILTER_QUERIES);
  const file = `${results}exact-${kind}-${rows}-${count}.json`;
  if (existsSync(file)) return file;
  say(`Computing exact answers (${kind}, ${count} queries over ${rows} rows)`);
  const idsOf = (answers, ids) => answers.map((found) => found.map((row) => ids[row]));
  if (kind === "search") {
    const exact =
      rows === ALL_ROWS
        ? readExactNeighbors(count, K)
        : exactNeighbors(readEntries(rows).vectors, readQueries(count), K, [null])[0];
    writeFileSync(file, JSON.stringify(idsOf(exact, readIds(rows))));
  } else {
    const entries = readEntries(rows, { synthetic: true });
    const masks = FILTERS.map((filter) => filterMask(filter, entries));
    const exact = exactNeighbors(entries.vectors, readQueries(count), K, masks);
    const share = (mask) => mask.reduce((sum, byte) => sum + byte, 0) / rows;
    const filters = FILTERS.map((filter, i) => ({ filter, share: share(masks[i]), ids: idsOf(exact[i], entries.ids) }));
    writeFileSync(file, JSON.stringify({ queries: count, filters }));
  }
  return file;
}

const slug = (text) => text.replaceAll(/[^a-zA-Z0-9]+/g, "-");

/** Makes sure that a store holds all rows at `path`; says why not when it cannot. */
async function ensureBuilt(job, fresh) {
  const marker = `${job.path}.json`;
  if (!fresh && existsSync(marker)) return null;
  rmSync(job.path, { recursive: true, force: true });
  rmSync(marker, { force: true });
  say(`  building (${job.settings.rows} rows)`);
  const { rows, reason } = await runChild({ ...job, bench: "build" });
  if (reason) return reason;
  writeFileSync(marker, JSON.stringify(rows[0]));
  return null;
}

/** Measures one variant, as often as the bench asks. */
async function measureVariant(module, job, fresh) {
  if (module.needs.builtStore) {
    const reason = await ensureBuilt(job, fresh);
    if (reason) return { reason };
  } else {
    rmSync(job.path, { recursive: true, force: true });
  }
  const outcomes = [];
  for (let i = 0; i < (module.repeats ?? 1); i++) {
    const outcome = await runChild(job);
    if (outcome.reason) return outcome;
    outcomes.push(...outcome.rows);
  }
  if (!module.needs.builtStore) rmSync(job.path, { recursive: true, force: true });
  return { rows: module.median ? [module.median(outcomes)] : outcomes };
}

async function measureAll(bench, module, { stores, settings, fresh }) {
  const truthFile = module.needs.truth && writeTruth(module.needs.truth, settings);
  const rows = [];
  const missing = [];
  for (const storeName of stores) {
    const adapter = await loadStore(storeName);
    if (module.needs.records && !adapter.storesRecords) {
      missing.push(`${storeName}: stores no metadata`);
      continue;
    }
    for (const variantName of Object.keys(adapter.variants)) {
      say(`${storeName} (${variantName})`);
      const use = module.needs.builtStore ? "" : `-${bench}`;
      const path = `${results}stores/${slug(`${storeName} ${variantName}`)}-${settings.rows}${use}`;
      const outcome = await measureVariant(module, { bench, storeName, variantName, path, settings, truthFile }, fresh);
      if (outcome.reason) missing.push(`${storeName} (${variantName}): ${outcome.reason}`);
      else rows.push(...outcome.rows.map((row) => ({ store: storeName, variant: variantName, ...row })));
    }
  }
  return { rows: module.order ? rows.sort(module.order) : rows, missing };
}

function installPeers() {
  const { status } = spawnSync("npm", ["--prefix", folder, "ci", "--no-audit", "--no-fund"], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  return status ?? 1;
}

async function main() {
  const { bench, ...options } = parseArguments();
  if (bench === "install-peers") return installPeers();
  if (!BENCHES.includes(bench)) throw new Error(USAGE);
  const missing = missingDataset();
  if (missing) throw new Error(missing);

  mkdirSync(`${results}stores`, { recursive: true });
  const module = await import(`./${bench}.mjs`);
  const measured = await measureAll(bench, module, options);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const report = {
    bench,
    version,
    date: new Date().toISOString(),
    machine: machine(),
    ...options.settings,
    ...measured,
  };
  writeFileSync(`${results}${bench}.json`, `${JSON.stringify(report, null, 2)}\n`);

  const { cpu, cores, node } = report.machine;
  console.log(`\n${bench}: ${options.settings.rows} rows of 384 dimensions, cosine; ${cores} x ${cpu}, Node ${node}`);
  console.log(`${module.legend}\n`);
  for (const line of tableLines(module.columns, measured.rows)) console.log(line);
  if (measured.missing.length > 0) console.log(["\nNot measured:", ...measured.missing].join("\n  "));
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}
