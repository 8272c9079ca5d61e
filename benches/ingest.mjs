// Rows acknowledged a second while the collection grows, and the time until all of them are indexed.
import { rmSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { batches, KEYS, readEntries } from "./dataset.mjs";
import { watchEventLoop } from "./event-loop.mjs";
import { peakMemory, resetPeak, residentMemory } from "./process-memory.mjs";
import { formats } from "./table.mjs";

/** Rows between two readings of the rate. */
const INTERVAL = 20_000;
/** Rows of the one large batch by which the longest block of the event loop is judged. */
const LARGE_BATCH = 20_000;

export const needs = {};

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
  { title: "block ms", key: "block", format: formats.integer },
  { title: "large block ms", key: "largeBlock", format: formats.integer },
  { title: "peak MiB", key: "peak", format: formats.integer },
  { title: "of which store's", key: "peakGrown", format: formats.integer },
  { title: "acknowledged means", key: "durability", format: formats.text },
];

export const legend =
  "Vectors, documents and four metadata keys, batch after batch. Intervals are 20,000 rows (a fifth of a smaller run).\n" +
  '"block" is the longest time that the event loop stood still while batches were inserted, "large block" the same for one\n' +
  "batch of 20,000 rows. Peak memory is that of the process until all is indexed, which also holds the entries to insert; the\n" +
  "store's is what came on top of them.";

/** Rates of the full intervals between `marks`, which are [rows, milliseconds] pairs. */
const intervalRates = (marks) =>
  marks.slice(1).map(([rows, time], i) => ((rows - marks[i][0]) / (time - marks[i][1])) * 1_000);

/** Inserts all entries; returns the [rows, milliseconds] pairs at which the rate is read, and the time at the end. */
async function insertAll(store, entries, { rows, batch: size }) {
  const interval = Math.min(INTERVAL, Math.floor(rows / 5));
  const marks = [[0, 0]];
  const started = performance.now();
  let inserted = 0;
  for (const batch of batches(entries, size)) {
    await store.insert(batch);
    // As a program does that has other things to do: a store that inserts on the calling thread blocks for one batch then.
    await setImmediate();
    inserted += batch.ids.length;
    if (inserted >= marks.at(-1)[0] + interval) marks.push([inserted, performance.now() - started]);
  }
  return { marks, acknowledged: performance.now() - started };
}

/** The longest block of the event loop by one large batch, in a store of its own. */
async function largeBlock({ adapter, variant, path }, entries) {
  const [batch] = batches(entries, LARGE_BATCH);
  const store = await adapter.create(`${path}-large`, variant, { rows: batch.ids.length, keys: KEYS });
  const { longestBlock } = await watchEventLoop(() => store.insert(batch));
  await store.close();
  rmSync(`${path}-large`, { recursive: true, force: true });
  return longestBlock;
}

export async function measure(job) {
  const { adapter, variant, path, settings } = job;
  const entries = readEntries(settings.rows);
  const store = await adapter.create(path, variant, { rows: settings.rows, keys: KEYS });
  resetPeak();
  const before = residentMemory().rss;
  const { result, longestBlock } = await watchEventLoop(() => insertAll(store, entries, settings));
  const { marks, acknowledged } = result;
  const finishing = performance.now();
  await store.finish();
  const finish = performance.now() - finishing;
  const peak = peakMemory();
  await store.close();

  const rates = intervalRates(marks);
  const all = acknowledged + finish;
  return [
    {
      acknowledgedRate: (settings.rows / acknowledged) * 1_000,
      intervalRates: rates,
      firstRate: rates[0],
      lastRate: rates.at(-1),
      flatness: rates.at(-1) / rates[0],
      finishSeconds: finish / 1_000,
      allSeconds: all / 1_000,
      indexedRate: (settings.rows / all) * 1_000,
      block: longestBlock,
      largeBlock: await largeBlock(job, entries),
      peak,
      peakGrown: peak - before,
      durability: adapter.durability,
    },
  ];
}
