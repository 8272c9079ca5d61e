// What shorter vectors cost and spare: the first 384, 256, 192 and 128 values of each, at unit length again, as
// TruncatedEmbeddingFunction makes them.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { batches, DIMENSION, K, KEYS, readEntries, readIds, readQueries, readQueryTargets } from "./dataset.mjs";
import { diskUse, residentMemory } from "./process-memory.mjs";
import { storePath } from "./side-by-side.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";
import { ensureTruth } from "./truth.mjs";

const STORE = "ferrochrome";
const DIMENSIONS = [384, 256, 192, 128];
/** The search width: Chroma's default. */
const EF = 100;
const WARM_UP = 100;

export const needs = { connectItself: true };

export const columns = [
  { title: "dimensions", key: "dimensions", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "entry found", key: "found", format: formats.percent },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "store adds MiB", key: "memory", format: formats.integer },
  { title: "disk MiB", key: "disk", format: formats.integer },
  { title: "load s", key: "load", format: formats.tenths },
];

export const legend =
  "Ferrochrome with its defaults, ef 100, one awaited query after another. Recall is judged by the exact neighbours of the whole\n" +
  'vectors; "entry found" is the share of queries whose own entry, the one that the sentence illustrates, is among the ten. "store\n' +
  'adds" is resident memory after all queries less that of the process with the queries alone. The model, all-MiniLM-L6-v2, was\n' +
  "not trained for shortening (Matryoshka): models that were lose less.";

/** The first values of each row, at unit length. */
function shorten(vectors, dimensions) {
  if (dimensions === DIMENSION) return vectors;
  const rows = vectors.length / DIMENSION;
  const short = new Float32Array(rows * dimensions);
  for (let row = 0; row < rows; row++) {
    const kept = vectors.subarray(row * DIMENSION, row * DIMENSION + dimensions);
    const norm = Math.hypot(...kept) || 1;
    for (let i = 0; i < dimensions; i++) short[row * dimensions + i] = kept[i] / norm;
  }
  return short;
}

async function load({ adapter, variant, path, settings, dimensions }) {
  const entries = readEntries(settings.rows);
  const vectors = shorten(entries.vectors, dimensions);
  await adapter.connect();
  const started = performance.now();
  const store = await adapter.create(path, variant, { rows: settings.rows, keys: KEYS });
  for (const { firstRow, ids, documents, metadatas } of batches(entries, settings.batch)) {
    const rows = vectors.subarray(firstRow * dimensions, (firstRow + ids.length) * dimensions);
    await store.insert({ ids, documents, metadatas, vectors: rows, dimension: dimensions });
  }
  await store.finish();
  await store.close();
  return { load: (performance.now() - started) / 1_000 };
}

async function search({ adapter, variant, path, settings, dimensions, truth }) {
  const queries = readQueries(settings.queries).map((query) => shorten(query, dimensions));
  const before = residentMemory().rss;
  await adapter.connect();
  const store = await adapter.open(path, variant);
  const prepared = queries.map((query) => store.prepareQuery(query));
  const ask = (i) => store.query(prepared[i], { k: K, ef: EF });
  for (let i = 0; i < Math.min(WARM_UP, prepared.length); i++) await ask(i);
  const { answers, ...speed } = await timeQueries(ask, prepared.length, { seconds: settings.seconds });
  const memory = residentMemory().rss - before;
  await store.close();
  return {
    recall: recall(answers, truth),
    found: shareFound(answers, settings),
    ...speed,
    memory,
    disk: diskUse(path),
  };
}

/** The share of queries that found the entry that they illustrate, of those whose entry is in the store. */
function shareFound(answers, { rows, queries }) {
  const stored = new Set(readIds(rows));
  const targets = readQueryTargets(queries);
  const asked = [...answers.keys()].filter((query) => answers[query] && stored.has(targets[query]));
  return asked.filter((query) => answers[query].includes(targets[query])).length / asked.length;
}

const STAGES = { load, search };

/** One stage in a process of its own: what loading leaves in memory must not count for searching. */
export const measure = async (job) => [await STAGES[job.stage](job)];

/** How long loading took: measured now, or when the store was loaded by an earlier run. */
async function ensureLoaded(job, fresh, { say, runChild }) {
  const marker = `${job.path}.json`;
  if (!fresh && existsSync(marker)) return JSON.parse(readFileSync(marker, "utf8"));
  rmSync(job.path, { recursive: true, force: true });
  say(`  loading ${job.settings.rows} rows`);
  const { rows, reason } = await runChild({ ...job, stage: "load" });
  if (reason) return { reason };
  writeFileSync(marker, JSON.stringify(rows[0]));
  return rows[0];
}

export async function run({ settings, fresh, results }, { say, runChild }) {
  const truthFile = ensureTruth("search", settings, results, say);
  const rows = [];
  const missing = [];
  for (const dimensions of DIMENSIONS) {
    say(`${dimensions} dimensions`);
    const path = storePath(results, STORE, "default", `dimensions-${dimensions}-${settings.rows}`);
    const job = { bench: "dimensions", storeName: STORE, variantName: "default", path, settings, dimensions };
    const { reason: notLoaded, load } = await ensureLoaded(job, fresh, { say, runChild });
    const outcome = notLoaded ? { reason: notLoaded } : await runChild({ ...job, stage: "search", truthFile });
    if (outcome.reason) missing.push(`${dimensions} dimensions: ${outcome.reason}`);
    else rows.push({ dimensions, ...outcome.rows[0], load });
  }
  return { rows, missing, tables: [] };
}
