// Compaction after a fifth of the rows was replaced, ten times over, and after nine tenths were deleted; a fresh build beside it.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DIMENSION, K, readEntries, readQueries } from "./dataset.mjs";
import { diskUse, peakMemory, resetPeak, residentMemory } from "./process-memory.mjs";
import { reopen } from "./reopen.mjs";
import { formats } from "./table.mjs";
import { timed } from "./timing.mjs";

const ROUNDS = 10;
/** Part of the rows that a round replaces. */
const REPLACED = 1 / 5;
/** Part of the rows that is deleted at the end. */
const DELETED = 9 / 10;
/** The search width: Chroma's default. */
const EF = 100;
const BATCH = 5_000;

export const columns = [
  { title: "state", key: "state", format: formats.text },
  { title: "rows", key: "rows", format: formats.integer },
  { title: "compaction s", key: "seconds", format: formats.hundredths },
  { title: "rows/s", key: "rate", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "queries/s", key: "speed", format: formats.integer },
  { title: "disk MiB", key: "disk", format: formats.integer },
  { title: "resident MiB", key: "resident", format: formats.integer },
  { title: "peak MiB", key: "peak", format: formats.integer },
  { title: "reopened MiB", key: "reopened", format: formats.integer },
];

export const legend =
  `A fifth of the rows is deleted and others added before each of ${ROUNDS} compactions; "replaced" is the state after the last, whose\n` +
  'time is the median of all; "afresh" are the same rows in a new database. Queries one after the other, ef 100. The process holds the\n' +
  "entries, too, which resident and peak memory include; reopened is what opening the folder and asking every query adds to a\n" +
  "fresh process.";

/** The entries at some places, as a write takes them. */
function pick(entries, places) {
  const vectors = new Float32Array(places.length * DIMENSION);
  for (const [i, place] of places.entries()) {
    vectors.set(entries.vectors.subarray(place * DIMENSION, (place + 1) * DIMENSION), i * DIMENSION);
  }
  const column = (values) => places.map((place) => values[place]);
  return {
    ids: column(entries.ids),
    documents: column(entries.documents),
    metadatas: column(entries.metadatas),
    embeddings: vectors,
    dimension: DIMENSION,
  };
}

async function add(collection, entries, places) {
  for (let first = 0; first < places.length; first += BATCH) {
    await collection.add(pick(entries, places.slice(first, first + BATCH)));
  }
}

/** recall@10, and queries a second. */
async function search(collection, queries, seconds) {
  const ask = async (vector, exact) =>
    (
      await collection.query({
        queryEmbeddings: [vector],
        nResults: K,
        include: ["distances"],
        searchParams: exact ? { exact } : { ef: EF },
      })
    ).ids[0];
  let found = 0;
  for (const vector of queries) {
    const truth = new Set(await ask(vector, true));
    for (const id of await ask(vector, false)) if (truth.has(id)) found++;
  }
  let asked = 0;
  const started = performance.now();
  while (performance.now() - started < seconds * 1_000) await ask(queries[asked++ % queries.length], false);
  return { recall: found / (K * queries.length), speed: (asked / (performance.now() - started)) * 1_000 };
}

export async function run({ settings, results }, { say }) {
  const { PersistentClient } = await import("../dist/index.js");
  const entries = readEntries(settings.rows);
  const queries = readQueries(settings.queries);
  const seconds = Math.min(settings.seconds, 5);
  const rows = [];
  const create = async (path) => {
    rmSync(path, { recursive: true, force: true });
    const client = new PersistentClient({ path });
    const configuration = { hnsw: { space: "cosine" } };
    return [client, await client.createCollection({ name: "wordnet", configuration, embeddingFunction: null })];
  };
  const measure = async (state, collection, path, compaction) => {
    const count = await collection.count();
    const found = await search(collection, queries, seconds);
    const memory = { disk: diskUse(path), resident: residentMemory().rss, peak: peakMemory() };
    const { added: reopened } = reopen(path, settings.queries);
    rows.push({ state, rows: count, seconds: compaction, rate: count / compaction, ...found, ...memory, reopened });
  };

  const path = join(results, "stores", "compact");
  const [client, collection] = await create(path);
  const kept = Math.floor(settings.rows / (1 + REPLACED));
  let present = Array.from({ length: kept }, (_, i) => i);
  let absent = Array.from({ length: settings.rows - kept }, (_, i) => kept + i);
  say(`Inserting ${kept} rows`);
  await add(collection, entries, present);
  resetPeak();
  await measure("first build", collection, path, await timed(() => collection.compact()));
  const times = [];
  resetPeak();
  for (let round = 0; round < ROUNDS; round++) {
    const gone = present.filter((_, i) => i % Math.round(1 / REPLACED) === round % Math.round(1 / REPLACED));
    const added = absent.slice(0, gone.length);
    await collection.delete({ ids: gone.slice(0, added.length).map((place) => entries.ids[place]) });
    await add(collection, entries, added);
    times.push(await timed(() => collection.compact()));
    const left = new Set(gone.slice(0, added.length));
    present = [...present.filter((place) => !left.has(place)), ...added];
    absent = [...absent.slice(added.length), ...left];
    say(`Round ${round + 1}: ${times.at(-1).toFixed(1)} s`);
  }
  const median = times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)];
  await measure("replaced", collection, path, median);

  const freshPath = join(results, "stores", "compact-afresh");
  const [freshClient, fresh] = await create(freshPath);
  await add(fresh, entries, present);
  resetPeak();
  await measure("afresh", fresh, freshPath, await timed(() => fresh.compact()));
  await freshClient.close();
  rmSync(freshPath, { recursive: true, force: true });

  const deleted = present.slice(0, Math.floor(present.length * DELETED));
  for (let first = 0; first < deleted.length; first += BATCH) {
    await collection.delete({ ids: deleted.slice(first, first + BATCH).map((place) => entries.ids[place]) });
  }
  resetPeak();
  await measure("nine tenths deleted", collection, path, await timed(() => collection.compact()));
  await client.close();
  rmSync(path, { recursive: true, force: true });
  return { rows, missing: [], tables: [] };
}
