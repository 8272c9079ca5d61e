// What many segments cost: opening, the first query and all others, when as many rows lie in 1, 10 or 100 of them.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { batches, readEntries } from "./dataset.mjs";
import { median, repeats } from "./open.mjs";
import { reopen } from "./reopen.mjs";
import { formats } from "./table.mjs";

const SEGMENTS = [1, 10, 100];
/** Most rows of one write. */
const MOST_WRITTEN = 10_000;

export const columns = [
  { title: "segments", key: "segments", format: formats.integer },
  { title: "open ms", key: "openTime", format: formats.tenths },
  { title: "first query ms", key: "queryTime", format: formats.tenths },
  { title: "open and query ms", key: "openQueryTime", format: formats.tenths },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "store adds MiB", key: "added", format: formats.integer },
];

export const legend =
  "The same rows as one segment with a graph, and as many that no merge has brought together yet: what is sealed has codes, and no\n" +
  "graph until then. Fresh processes, files in the operating system's cache; the median of five. Queries one after another, ef 100.";

/** Fills a database so that its rows lie in so many segments; one of them may be several until it is compacted. */
async function fill(path, entries, segments) {
  const { PersistentClient } = await import("../dist/index.js");
  const sealRows = Math.floor(entries.ids.length / segments);
  const batchRows = segments === 1 ? MOST_WRITTEN : sealRows;
  // Merges are put off where so much space has to stay free.
  const client = new PersistentClient({ path, sealRows, diskReserveBytes: Number.MAX_SAFE_INTEGER });
  const configuration = { hnsw: { space: "cosine" } };
  const collection = await client.createCollection({ name: "wordnet", configuration, embeddingFunction: null });
  for (const { ids, documents, metadatas, vectors, dimension } of batches(entries, batchRows)) {
    // A rest that fills no segment is left out: nothing would seal it.
    if (segments > 1 && ids.length < sealRows) break;
    await collection.add({ ids, documents, metadatas, embeddings: vectors, dimension });
    if (segments > 1) await sealed(collection, vectors.subarray(0, dimension));
  }
  await client.close();
}

/** Waits until the newest records are a segment too. */
async function sealed(collection, vector) {
  const newest = async () => {
    const { parts } = await collection.explain({ queryEmbeddings: [vector] });
    return parts.some(({ kind, rows }) => kind === "head" && rows > 0);
  };
  while (await newest()) await setTimeout(5);
}

/** The rows as one segment with its graph. */
async function compact(path) {
  const { PersistentClient } = await import("../dist/index.js");
  const client = new PersistentClient({ path });
  await client.compact();
  await client.close();
}

export async function run({ settings, results }, { say }) {
  const entries = readEntries(settings.rows);
  const rows = [];
  for (const segments of SEGMENTS) {
    const path = join(results, "stores", "segments");
    rmSync(path, { recursive: true, force: true });
    say(`${segments} segments`);
    await fill(path, entries, segments);
    if (segments === 1) await compact(path);
    rows.push(median(Array.from({ length: repeats }, () => reopen(path, settings.queries))));
    rmSync(path, { recursive: true, force: true });
  }
  return { rows, missing: [], tables: [] };
}
