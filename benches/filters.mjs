// Filtered search: recall against the exact answer, number of results, and speed, over the cells of filter-grid.mjs.
import { ALL_QUERIES, K, readQueries } from "./dataset.mjs";
import { otherList } from "./filter-grid.mjs";
import { formats } from "./table.mjs";
import { percentile, recallCounts, timeQueries } from "./timing.mjs";

const WARM_UP = 20;
/** The search width of every store that has one: Chroma's default. */
const EF = 100;

export const needs = { store: "filters", truth: "filters", records: true };

export const columns = [
  { title: "kind", key: "kind", format: formats.text },
  { title: "share", key: "share", format: formats.percent },
  { title: "filter", key: "filter", format: formats.text },
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "wrong counts", key: "wrongCounts", format: formats.integer },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "first us", key: "first", format: formats.integer },
];

export const legend =
  `One awaited query after another, ids and distances wanted, ef ${EF}. "wrong counts" are queries answered with another\n` +
  'number of rows than min(k, matching). "first" is the first query with a filter, as a store may remember which rows a\n' +
  "filter admits; where a cell has a filter for each of several groups of queries, the median of theirs.";

/** The tables read best filter by filter. */
export const order = (a, b) => a.position - b.position;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Queries that were not answered with min(k, matching) rows. */
const countWrong = (answers, exact) => answers.reduce((n, ids, i) => n + Number(ids.length !== exact[i].length), 0);

/** Measures one filter with its queries. */
async function measurePart(store, vectors, { filter, varies, queries, ids }, settings) {
  const prepared = queries.map((query) => store.prepareQuery(vectors[query]));
  const options = { k: K, ef: EF, filter: store.prepareFilter(filter) };
  let asked = 0;
  const other = () => ({ ...options, filter: store.prepareFilter(otherList(filter, asked++)) });
  const ask = (i) => store.query(prepared[i], varies ? other() : options);
  const started = performance.now();
  await ask(0);
  const first = (performance.now() - started) * 1_000;
  for (let i = 0; i < Math.min(WARM_UP, prepared.length); i++) await ask(i);
  const { answers, ...speed } = await timeQueries(ask, prepared.length, settings);
  return { first, ...speed, ...recallCounts(answers, ids), wrongCounts: countWrong(answers, ids) };
}

/** The row of a cell: its parts weigh alike, whatever the number of times that each was asked. */
function cellRow(measured) {
  const sum = (key) => measured.reduce((total, part) => total + part[key], 0);
  return {
    recall: sum("wanted") === 0 ? 1 : sum("found") / sum("wanted"),
    wrongCounts: sum("wrongCounts"),
    qps: measured.length / measured.reduce((time, { qps }) => time + 1 / qps, 0),
    p50: mean(measured.map(({ p50 }) => p50)),
    p99: Math.max(...measured.map(({ p99 }) => p99)),
    first: percentile(
      measured.map(({ first }) => first).sort((a, b) => a - b),
      0.5,
    ),
  };
}

/** One row a cell. */
export async function measure({ adapter, variant, path, settings, truth }) {
  const store = await adapter.open(path, variant);
  const vectors = readQueries(ALL_QUERIES);
  const rows = [];
  // Opens what a store opens lazily, whatever the filter.
  await store.query(store.prepareQuery(vectors[0]), { k: K, ef: EF });
  for (const [position, { kind, share, filter, parts }] of truth.entries()) {
    if (store.prepareFilter(parts[0].filter) === null) continue;
    const seconds = settings.seconds / parts.length;
    const shortest = 1 / parts.length;
    const measured = [];
    for (const part of parts) measured.push(await measurePart(store, vectors, part, { seconds, shortest }));
    rows.push({ position, kind, share, filter, ...cellRow(measured) });
  }
  await store.close();
  return rows;
}
