// Recall against speed: a sweep of the search width, asked as a Node program asks.
import { readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";

const K = 10;
const WARM_UP = 100;

export const needs = { builtStore: true, truth: "search" };

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "ef", key: "ef", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "QPS, 16 in flight", key: "qpsInFlight", format: formats.integer },
  { title: "QPS with documents", key: "qpsRecords", format: formats.integer },
];

export const legend =
  "One awaited query after another, ids and distances wanted; then 16 in flight; then one after another with\n" +
  "documents and metadata included.";

/** One row a search width. */
export async function measure({ adapter, variant, path, settings, truth }) {
  const store = await adapter.open(path, variant);
  const queries = readQueries(settings.queries).map((vector) => store.prepareQuery(vector));
  const { seconds } = settings;
  const rows = [];
  for (const ef of store.efs) {
    const options = { k: K, ef };
    const ask = (i) => store.query(queries[i], options);
    const askInFlight = store.queryInFlight ? (i) => store.queryInFlight(queries[i], options) : ask;
    for (let i = 0; i < Math.min(WARM_UP, queries.length); i++) await ask(i);
    const { answers, ...single } = await timeQueries(ask, queries.length, { seconds });
    const inFlight = await timeQueries(askInFlight, queries.length, { inFlight: 16, seconds });
    const withRecords = { ...options, records: true };
    const records = adapter.storesRecords
      ? await timeQueries((i) => store.query(queries[i], withRecords), queries.length, { seconds })
      : null;
    rows.push({ ef, recall: recall(answers, truth), ...single, qpsInFlight: inFlight.qps, qpsRecords: records?.qps });
  }
  await store.close();
  return rows;
}
