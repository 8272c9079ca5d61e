// A million rows and more: ingest, open, memory, search and filters, over rows that a seeded generator makes as they are needed.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ratioTable } from "./curve.mjs";
import { K } from "./dataset.mjs";
import { exactNeighborsOfStream } from "./exact.mjs";
import { filterLabel, filterMask } from "./filter-grid.mjs";
import { diskUse, peakMemory, resetPeak, residentMemory } from "./process-memory.mjs";
import { describeSource, openSource, readBatch, readScaleQueries } from "./scale-data.mjs";
import { storePath, variantsOf } from "./side-by-side.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";

/** Rows between two readings of the rate (a tenth of a smaller run). */
const INTERVAL = 100_000;
/** Queries that recall is judged by: their exact neighbours are computed over all rows. */
const JUDGED_QUERIES = 100;
/** Of these, those by which the store's own exact search is compared with the brute force. */
const EXACT_QUERIES = 10;
/** Recalls at which stores are compared. */
const TARGETS = [0.9, 0.95, 0.97, 0.98];
/** Search width of the filters and of the queries before memory is read: Chroma's default. */
const EF = 100;

export const needs = { connectItself: true };

export const reportName = ({ rows, dimension }) => `scale-${rows}x${dimension}`;

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "rows", key: "rows", format: formats.integer },
  { title: "acknowledged rows/s", key: "acknowledgedRate", format: formats.integer },
  { title: "first interval", key: "firstRate", format: formats.integer },
  { title: "last interval", key: "lastRate", format: formats.integer },
  { title: "then indexing s", key: "finishSeconds", format: formats.integer },
  { title: "peak MiB", key: "ingestPeak", format: formats.integer },
  { title: "open ms", key: "openTime", format: formats.tenths },
  { title: "first query ms", key: "queryTime", format: formats.tenths },
  { title: "RSS MiB", key: "rss", format: formats.integer },
  { title: "anonymous", key: "anonymous", format: formats.integer },
  { title: "mapped files", key: "mapped", format: formats.integer },
  { title: "disk MiB", key: "disk", format: formats.integer },
  { title: "exact agrees", key: "exactAgrees", format: formats.recall },
];

export const legend =
  "Intervals are 100,000 rows (a tenth of a smaller run); making the rows is not timed. Peak memory is what came on top of the\n" +
  "generator while the store was loaded. RSS is that of a fresh process after every query was asked once. The store's own exact\n" +
  "search is compared with a brute force.";

const sweepColumns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "ef", key: "ef", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
];

const filterColumns = [
  { title: "filter", key: "filter", format: formats.text },
  { title: "share", key: "share", format: formats.percent },
  ...sweepColumns.filter(({ key }) => key !== "ef"),
];

/** In a child: the exact neighbours of some queries, without a filter and with each. */
function computeTruth({ settings }) {
  const source = openSource(settings);
  const queries = readScaleQueries(settings).slice(0, JUDGED_QUERIES);
  const filters = [{}, ...source.filters];
  const matching = filters.map(() => 0);
  function* blocks() {
    for (let first = 0; first < settings.rows; first += settings.batch) {
      const batch = readBatch(source, first, Math.min(first + settings.batch, settings.rows));
      const masks = filters.map((filter) => filterMask(filter, batch));
      for (const [i, mask] of masks.entries()) matching[i] += mask.reduce((sum, byte) => sum + byte, 0);
      yield { ...batch, masks };
    }
  }
  const rows = exactNeighborsOfStream(blocks(), queries, K, filters.length);
  const ids = rows.map((answers) => answers.map((found) => found.map(source.id)));
  const [all, ...filtered] = ids;
  const cells = filtered.map((ids, i) => ({
    filter: source.filters[i],
    share: matching[i + 1] / settings.rows,
    ids,
  }));
  return { ids: all, filters: cells };
}

/** In a child: loads the store. */
async function ingest({ adapter, variant, path, settings }) {
  await adapter.connect();
  const source = openSource(settings);
  const { rows, batch: size } = settings;
  const store = await adapter.create(path, variant, { rows, keys: source.keys, dimension: source.dimension });
  resetPeak();
  const before = residentMemory().rss;
  const interval = Math.min(INTERVAL, Math.ceil(rows / 10));
  const marks = [[0, 0]];
  let elapsed = 0;
  for (let first = 0; first < rows; first += size) {
    const last = Math.min(first + size, rows);
    const batch = readBatch(source, first, last);
    const started = performance.now();
    await store.insert(batch);
    elapsed += performance.now() - started;
    if (last >= marks.at(-1)[0] + interval) marks.push([last, elapsed]);
  }
  const finishing = performance.now();
  await store.finish();
  const finishSeconds = (performance.now() - finishing) / 1_000;
  const ingestPeak = peakMemory() - before;
  await store.close();
  const rates = marks.slice(1).map(([row, time], i) => ((row - marks[i][0]) / (time - marks[i][1])) * 1_000);
  return {
    acknowledgedRate: (rows / elapsed) * 1_000,
    intervalRates: rates,
    firstRate: rates[0],
    lastRate: rates.at(-1),
    finishSeconds,
    ingestPeak,
  };
}

/** In a child: opens the store, reads its memory, sweeps the search width, asks with filters. */
async function search({ adapter, variant, path, settings, truth }) {
  await adapter.connect();
  const vectors = readScaleQueries(settings);
  const started = performance.now();
  const store = await adapter.open(path, variant);
  const opened = performance.now();
  const queries = vectors.map((vector) => store.prepareQuery(vector));
  await store.query(queries[0], { k: K, ef: EF });
  const answered = performance.now();
  for (const query of queries) await store.query(query, { k: K, ef: EF });
  const memory = residentMemory();

  const timed = async (options, count, exact) => {
    const { seconds } = settings;
    const { answers, ...speed } = await timeQueries((i) => store.query(queries[i], options), count, { seconds });
    return { recall: recall(answers.slice(0, exact.length), exact), ...speed };
  };
  const sweep = [];
  for (const ef of store.efs) sweep.push({ ef, ...(await timed({ k: K, ef }, queries.length, truth.ids)) });
  const filters = [];
  for (const { filter, share, ids } of truth.filters) {
    const prepared = store.prepareFilter?.(filter);
    if (prepared == null) continue;
    const measured = await timed({ k: K, ef: EF, filter: prepared }, ids.length, ids);
    filters.push({ filter: filterLabel(filter), share, ...measured });
  }
  const summary = { openTime: opened - started, queryTime: answered - opened, ...memory, disk: diskUse(path) };
  summary.exactAgrees = adapter.searchesExactly ? await exactAgreement(store, queries, truth) : null;
  await store.close();
  return { summary, sweep, filters };
}

/** The share of the brute force's answers that the store's own exact search gives. */
async function exactAgreement(store, queries, truth) {
  const answers = [];
  for (const query of queries.slice(0, Math.min(EXACT_QUERIES, truth.ids.length))) {
    answers.push(await store.query(query, { k: K, exact: true }));
  }
  return recall(answers, truth.ids);
}

const STAGES = { truth: computeTruth, ingest, search };

/** One stage in a process of its own: what one leaves in memory must not count for the next. */
export const measure = async (job) => [await STAGES[job.stage](job)];

/** The exact answers, computed once. */
async function ensureTruth(job, { say, runChild, results }) {
  const { rows, dimension, queries } = job.settings;
  const name = `exact-scale-${rows}x${dimension}-${Math.min(queries, JUDGED_QUERIES)}.json`;
  const truthFile = join(results, name);
  if (existsSync(truthFile)) return { truthFile };
  say(`Computing exact answers (${rows} rows of ${dimension} dimensions)`);
  const outcome = await runChild({ ...job, stage: "truth" });
  if (outcome.rows) writeFileSync(truthFile, JSON.stringify(outcome.rows[0]));
  return { truthFile, reason: outcome.reason };
}

/** What loading the store showed: measured now, or when it was loaded by an earlier run. */
async function ensureLoaded(job, fresh, { say, runChild }) {
  const marker = `${job.path}.json`;
  if (!fresh && existsSync(marker)) return JSON.parse(readFileSync(marker, "utf8"));
  rmSync(job.path, { recursive: true, force: true });
  rmSync(marker, { force: true });
  say("  loading");
  const { rows, reason } = await runChild({ ...job, stage: "ingest" });
  if (reason) return { reason };
  writeFileSync(marker, JSON.stringify(rows[0]));
  return rows[0];
}

async function measureStore(job, fresh, tools) {
  const { reason: notJudged, truthFile } = await ensureTruth(job, tools);
  if (notJudged) return { reason: notJudged };
  const { reason: notLoaded, ...load } = await ensureLoaded(job, fresh, tools);
  if (notLoaded) return { reason: notLoaded };
  tools.say("  searching");
  const { rows, reason } = await tools.runChild({ ...job, stage: "search", truthFile });
  return reason ? { reason } : { load, ...rows[0] };
}

/** Ferrochrome alone unless stores are named: others take a quarter of an hour and more for a million rows. */
export async function run({ stores, allStores, settings, fresh, results }, { say, runChild }) {
  const { variants, missing } = await variantsOf({ needs, defaultsOnly: true }, allStores ? ["ferrochrome"] : stores);
  const tools = { say, runChild, results };
  const [rows, sweep, filters] = [[], [], []];
  for (const { storeName, variantName } of variants) {
    say(`${storeName} (${variantName})`);
    const path = storePath(results, storeName, variantName, `${settings.rows}x${settings.dimension}`);
    const outcome = await measureStore({ bench: "scale", storeName, variantName, path, settings }, fresh, tools);
    if (outcome.reason) {
      missing.push(`${storeName}: ${outcome.reason}`);
      continue;
    }
    const of = { store: storeName, variant: variantName };
    rows.push({ ...of, rows: settings.rows, ...outcome.load, ...outcome.summary });
    sweep.push(...outcome.sweep.map((row) => ({ ...of, ...row })));
    filters.push(...outcome.filters.map((row) => ({ ...of, ...row })));
  }
  const judged = `Recall is judged by the exact neighbours of ${JUDGED_QUERIES} queries.`;
  const tables = [
    { title: "Search", legend: `One awaited query after another. ${judged}`, columns: sweepColumns, rows: sweep },
    { title: "Filters", legend: `ef ${EF}. ${judged}`, columns: filterColumns, rows: filters },
    ratioTable(sweep, TARGETS),
  ];
  return { rows, missing, tables, data: describeSource(settings) };
}
