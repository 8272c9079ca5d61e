// Rows acknowledged a second while the collection grows, and the time until all of them are indexed.
import { batches, readEntries } from "./dataset.mjs";
import { formats } from "./table.mjs";

/** Rows between two readings of the rate. */
const INTERVAL = 20_000;

export const needs = { emptyFolder: true };

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "acknowledged rows/s", key: "acknowledgedRate", format: formats.integer },
  { title: "first interval", key: "firstRate", format: formats.integer },
  { title: "last interval", key: "lastRate", format: formats.integer },
  { title: "last/first", key: "flatness", format: formats.recall },
  { title: "then indexing s", key: "finishSeconds", format: formats.tenths },
  { title: "all s", key: "allSeconds", format: formats.tenths },
  { title: "indexed rows/s", key: "indexedRate", format: formats.integer },
  { title: "acknowledged means", key: "durability", format: formats.text },
];

export const legend =
  "Vectors, documents and four metadata keys, batch after batch. Intervals are 20,000 rows (a fifth of a smaller run).";

/** Rates of the full intervals between `marks`, which are [rows, milliseconds] pairs. */
const intervalRates = (marks) =>
  marks.slice(1).map(([rows, time], i) => ((rows - marks[i][0]) / (time - marks[i][1])) * 1_000);

export async function measure({ adapter, variant, path, settings }) {
  const entries = readEntries(settings.rows);
  const interval = Math.min(INTERVAL, Math.floor(settings.rows / 5));
  const store = await adapter.create(path, variant, { rows: settings.rows });
  const marks = [[0, 0]];
  const started = performance.now();
  let rows = 0;
  for (const batch of batches(entries, settings.batch)) {
    await store.insert(batch);
    rows += batch.ids.length;
    if (rows >= marks.at(-1)[0] + interval) marks.push([rows, performance.now() - started]);
  }
  const acknowledged = performance.now() - started;
  await store.finish();
  const all = performance.now() - started;
  await store.close();

  const rates = intervalRates(marks);
  return [
    {
      acknowledgedRate: (rows / acknowledged) * 1_000,
      intervalRates: rates,
      firstRate: rates[0],
      lastRate: rates.at(-1),
      flatness: rates.at(-1) / rates[0],
      finishSeconds: (all - acknowledged) / 1_000,
      allSeconds: all / 1_000,
      indexedRate: (rows / all) * 1_000,
      durability: adapter.durability,
    },
  ];
}
