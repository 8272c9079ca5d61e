// Filtered search: recall against the exact answer, and speed, over filters of every share.
import { readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";

const K = 10;
const WARM_UP = 20;
/** The search width of every store that has one: Chroma's default. */
const EF = 100;

/**
 * The filters: `bucket` is an even spread of 0..999 that has nothing to do with the vectors, the other keys are
 * WordNet's own and correlate with them.
 */
export const FILTERS = [
  { where: { bucket: { $lt: 500 } } },
  { where: { bucket: { $lt: 100 } } },
  { where: { bucket: { $lt: 60 } } },
  { where: { bucket: { $lt: 10 } } },
  { where: { bucket: { $lt: 5 } } },
  { where: { bucket: 0 } },
  { where: { pos: "noun" } },
  { where: { domain: "noun.artifact" } },
  { where: { domain: "noun.animal" } },
  { where: { domain: "verb.body" } },
  { where: { domain: { $in: ["noun.animal", "noun.plant", "noun.food"] } } },
  { where: { pos: { $ne: "noun" } } },
  { where: { $and: [{ links: { $gte: 5 } }, { links: { $lte: 8 } }] } },
  { where: { $and: [{ pos: "verb" }, { words: { $gte: 3 } }] } },
  { whereDocument: { $contains: "ing" } },
  { whereDocument: { $contains: "water" } },
  { whereDocument: { $contains: "breath" } },
  { where: { pos: "verb" }, whereDocument: { $contains: "water" } },
];

const comparisons = {
  $eq: (value, operand) => value === operand,
  $ne: (value, operand) => value !== operand,
  $gt: (value, operand) => value > operand,
  $gte: (value, operand) => value >= operand,
  $lt: (value, operand) => value < operand,
  $lte: (value, operand) => value <= operand,
  $in: (value, operands) => operands.includes(value),
};

/** Whether metadata satisfies a `where` as Chroma defines it, for the operators used above. */
function satisfies(where, metadata) {
  const [[key, test]] = Object.entries(where);
  if (key === "$and") return test.every((part) => satisfies(part, metadata));
  if (typeof test !== "object") return metadata[key] === test;
  const [[operator, operand]] = Object.entries(test);
  return comparisons[operator](metadata[key], operand);
}

/** One byte a row: whether it satisfies the filter. */
export function filterMask({ where, whereDocument }, { documents, metadatas }) {
  return Uint8Array.from(documents, (document, row) =>
    Number(
      (!where || satisfies(where, metadatas[row])) && (!whereDocument || document.includes(whereDocument.$contains)),
    ),
  );
}

export const needs = { builtStore: true, truth: "filters", records: true };

export const columns = [
  { title: "filter", key: "filter", format: formats.text },
  { title: "share", key: "share", format: formats.percent },
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "first us", key: "first", format: formats.integer },
];

export const legend =
  `One awaited query after another, ids and distances wanted, ef ${EF}. "first" is the first query with a filter: a store\n` +
  "may remember which rows a filter admits.";

/** The tables read best filter by filter. */
export const order = (a, b) => a.position - b.position;

/** One row a filter. */
export async function measure({ adapter, variant, path, settings, truth }) {
  const store = await adapter.open(path, variant);
  const queries = readQueries(truth.queries).map((vector) => store.prepareQuery(vector));
  const rows = [];
  // Opens what a store opens lazily, whatever the filter.
  await store.query(queries[0], { k: K, ef: EF });
  for (const [position, { filter, share, ids }] of truth.filters.entries()) {
    const options = { k: K, ef: EF, filter: store.prepareFilter(filter) };
    const ask = (i) => store.query(queries[i], options);
    const started = performance.now();
    await ask(0);
    const first = (performance.now() - started) * 1_000;
    for (let i = 0; i < Math.min(WARM_UP, queries.length); i++) await ask(i);
    const { answers, ...speed } = await timeQueries(ask, queries.length, { seconds: settings.seconds });
    const label = [filter.where, filter.whereDocument]
      .filter(Boolean)
      .map((part) => JSON.stringify(part))
      .join(" ");
    rows.push({ position, filter: label, share, recall: recall(answers, ids), ...speed, first });
  }
  await store.close();
  return rows;
}
