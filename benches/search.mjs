// Recall against speed: a sweep of the search width, asked as a Node program asks.
import { K, readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";

const WARM_UP = 100;

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
  "that returns promises); then 16 in flight; then one call with all queries; then one after another with documents and\n" +
  "metadata included.";

/** Runs the index alone after the stores, so that `index-alone` can set both side by side. */
export const followedBy = "index-alone";

/** Queries a second, and recall, of one call that is given all queries. */
async function measureBatch(store, vectors, options, truth, seconds) {
  const batch = store.prepareBatch(vectors);
  const { qps, answers } = await timeQueries(() => store.queryBatch(batch, options), 1, { seconds });
  return { qpsBatch: qps * vectors.length, recallBatch: recall(answers[0], truth) };
}

/** One row a search width. */
export async function measure({ adapter, variant, path, settings, truth }) {
  const store = await adapter.open(path, variant);
  const vectors = readQueries(settings.queries);
  const queries = vectors.map((vector) => store.prepareQuery(vector));
  const { seconds } = settings;
  const rows = [];
  for (const ef of store.efs) {
    const options = { k: K, ef };
    const ask = (i) => store.query(queries[i], options);
    const askInFlight = store.queryInFlight ? (i) => store.queryInFlight(queries[i], options) : ask;
    for (let i = 0; i < Math.min(WARM_UP, queries.length); i++) await ask(i);
    const { answers, ...single } = await timeQueries(ask, queries.length, { seconds });
    const awaited = store.queryInFlight ? await timeQueries(askInFlight, queries.length, { seconds }) : null;
    const inFlight = await timeQueries(askInFlight, queries.length, { inFlight: 16, seconds });
    const batch = store.queryBatch ? await measureBatch(store, vectors, options, truth, seconds) : null;
    const withRecords = { ...options, records: true };
    const records = adapter.storesRecords
      ? await timeQueries((i) => store.query(queries[i], withRecords), queries.length, { seconds })
      : null;
    const row = {
      ef,
      recall: recall(answers, truth),
      ...single,
      qpsAwaited: awaited?.qps,
      qpsInFlight: inFlight.qps,
      ...batch,
    };
    rows.push({ ...row, qpsRecords: records?.qps });
  }
  await store.close();
  return rows;
}
