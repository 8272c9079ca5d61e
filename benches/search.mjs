// Recall against speed: a sweep of the search width, asked as a Node program asks.
import { ratioTable } from "./curve.mjs";
import { K, readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";
import { recall, timeInTurns, timeQueries } from "./timing.mjs";

export const needs = { store: "wordnet", truth: "search" };

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "ef", key: "ef", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "QPS, its promises", key: "qpsAwaited", format: formats.integer },
  { title: "QPS, 16 in flight", key: "qpsInFlight", format: formats.integer },
  { title: "QPS, one call", key: "qpsBatch", format: formats.integer },
  { title: "QPS with documents", key: "qpsRecords", format: formats.integer },
];

export const legend =
  "One awaited query after another, ids and distances wanted (a store with a synchronous call by that, and then by the call\n" +
  "that returns promises); 16 in flight; one call with all queries; one after another with documents and metadata included:\n" +
  "in turns, so that a machine whose speed moves is the same for all, after a second of queries that do not count.";

/** Recalls at which stores are compared. */
const TARGETS = [0.957, 0.985];

/** What else was asked beside one query after another, width by width. */
function shareTable(rows) {
  const share = (part, whole) => part && part / whole;
  return {
    title: "16 in flight, and with documents and metadata, / one query after another",
    legend: "Of the same turns.",
    columns: [
      { title: "store", key: "store", format: formats.text },
      { title: "variant", key: "variant", format: formats.text },
      { title: "ef", key: "ef", format: formats.integer },
      { title: "in flight", key: "inFlight", format: formats.hundredths },
      { title: "with documents", key: "records", format: formats.hundredths },
    ],
    rows: rows.map(({ store, variant, ef, qps, qpsAwaited, qpsInFlight, qpsRecords }) => {
      const inFlight = share(qpsInFlight, qpsAwaited ?? qps);
      return { store, variant, ef, inFlight, records: share(qpsRecords, qps) };
    }),
  };
}

export const moreTables = (_settings, rows) => [ratioTable(rows, TARGETS), shareTable(rows)];

/** Runs the index alone after the stores, so that `index-alone` can set both side by side. */
export const followedBy = "index-alone";

/** Takes the measurements that there are in turns, and returns theirs by the same names. */
async function timeEach(measurements, { seconds }) {
  const entries = Object.entries(measurements).filter(([, measurement]) => measurement);
  const results = await timeInTurns(
    entries.map(([, measurement]) => measurement),
    { seconds },
  );
  return Object.fromEntries(entries.map(([name], i) => [name, results[i]]));
}

/** One row a search width. */
export async function measure({ adapter, variant, path, settings, truth }) {
  const store = await adapter.open(path, variant);
  const vectors = readQueries(settings.queries);
  const queries = vectors.map((vector) => store.prepareQuery(vector));
  const batch = store.queryBatch ? store.prepareBatch(vectors) : null;
  const rows = [];
  for (const ef of store.efs) {
    const options = { k: K, ef };
    const ask = (i) => store.query(queries[i], options);
    const askInFlight = store.queryInFlight ? (i) => store.queryInFlight(queries[i], options) : ask;
    const askForRecords = (i) => store.query(queries[i], { ...options, records: true });
    const askAtOnce = () => store.queryBatch(batch, options);
    const count = queries.length;
    // Compiled code, row caches and the system's pages are as in a process that has run for a while.
    await timeQueries(ask, count, { seconds: Math.min(1, settings.seconds) });
    const measured = await timeEach(
      {
        single: { ask, count },
        awaited: store.queryInFlight && { ask: askInFlight, count },
        inFlight: { ask: askInFlight, count, inFlight: 16 },
        atOnce: batch && { ask: askAtOnce, count: 1 },
        records: adapter.storesRecords && { ask: askForRecords, count },
      },
      settings,
    );
    const { answers, ...single } = measured.single;
    rows.push({
      ef,
      recall: recall(answers, truth),
      ...single,
      qpsAwaited: measured.awaited?.qps,
      qpsInFlight: measured.inFlight.qps,
      ...(measured.atOnce && {
        qpsBatch: measured.atOnce.qps * count,
        qpsBestBatch: (count / measured.atOnce.least) * 1_000_000,
        recallBatch: recall(measured.atOnce.answers[0], truth),
      }),
      qpsRecords: measured.records?.qps,
    });
  }
  await store.close();
  return rows;
}
