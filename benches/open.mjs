// From a fresh process to the first answer.
import { readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";

export const needs = { builtStore: true, connectItself: true };

/** Fresh processes measured; the table shows the one with the median total. */
export const repeats = 5;

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "import ms", key: "importTime", format: formats.tenths },
  { title: "open ms", key: "openTime", format: formats.tenths },
  { title: "first query ms", key: "queryTime", format: formats.tenths },
  { title: "all ms", key: "allTime", format: formats.tenths },
];

export const legend = "A fresh process each; files are in the operating system's cache. The median of five.";

export const median = (rows) => rows.sort((a, b) => a.allTime - b.allTime)[Math.floor(rows.length / 2)];

export async function measure({ adapter, variant, path }) {
  const [vector] = readQueries(1);
  const started = performance.now();
  await adapter.connect();
  const imported = performance.now();
  const store = await adapter.open(path, variant);
  const opened = performance.now();
  await store.query(store.prepareQuery(vector), { k: 10, ef: 100 });
  const answered = performance.now();
  await store.close();
  return [
    {
      importTime: imported - started,
      openTime: opened - imported,
      queryTime: answered - opened,
      allTime: answered - started,
    },
  ];
}
