// Rows and megabytes a second of exporting a collection to a file and of importing it again, by format.
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { batches, DIMENSION, readEntries } from "./dataset.mjs";
import { formats } from "./table.mjs";
import { timed } from "./timing.mjs";

/** Formats with their compressions. */
const FILES = [
  { format: "jsonl", compression: "none" },
  { format: "arrow", compression: "none" },
  { format: "arrow", compression: "zstd" },
  { format: "parquet", compression: "none" },
  { format: "parquet", compression: "snappy" },
  { format: "parquet", compression: "zstd" },
];

export const columns = [
  { title: "format", key: "format", format: formats.text },
  { title: "compression", key: "compression", format: formats.text },
  { title: "MB", key: "size", format: formats.tenths },
  { title: "export s", key: "exportTime", format: formats.hundredths },
  { title: "rows/s", key: "exportRate", format: formats.integer },
  { title: "MB/s", key: "exportSpeed", format: formats.tenths },
  { title: "import s", key: "importTime", format: formats.hundredths },
  { title: "rows/s", key: "importRate", format: formats.integer },
  { title: "MB/s", key: "importSpeed", format: formats.tenths },
];

export const legend =
  "One process. MB are those of the file. An export ends when the file is on the disk; an import when the last record is acknowledged,\n" +
  "into an empty collection whose index is built in the background meanwhile. Files are in the operating system's cache.";

export async function run({ results, settings }, { say }) {
  const { PersistentClient } = await import("../dist/index.js");
  const folder = join(results, "stores");
  const path = join(folder, "export");
  rmSync(path, { recursive: true, force: true });
  say(`Filling a collection with ${settings.rows} rows ...`);
  const client = new PersistentClient({ path });
  const source = await client.createCollection({ name: "source", embeddingFunction: null });
  for (const { ids, documents, metadatas, vectors } of batches(readEntries(settings.rows), settings.batch)) {
    await source.add({ ids, documents, metadatas, embeddings: vectors, dimension: DIMENSION });
  }
  await source.compact();
  const rows = [];
  for (const { format, compression } of FILES) {
    say(`${format}, ${compression} ...`);
    const file = join(folder, `export.${format}`);
    const exportTime = await timed(() => source.export(file, { compression, batchSize: settings.batch }));
    const size = statSync(file).size / 1e6;
    const to = join(folder, "export-copy");
    rmSync(to, { recursive: true, force: true });
    const target = new PersistentClient({ path: to });
    const copy = await target.createCollection({ name: "copy", embeddingFunction: null });
    const importTime = await timed(() => copy.import(file, { batchSize: settings.batch }));
    await target.close();
    rmSync(to, { recursive: true, force: true });
    rmSync(file);
    rows.push({
      format,
      compression,
      size,
      exportTime,
      exportRate: settings.rows / exportTime,
      exportSpeed: size / exportTime,
      importTime,
      importRate: settings.rows / importTime,
      importSpeed: size / importTime,
    });
  }
  await client.close();
  rmSync(path, { recursive: true, force: true });
  return { rows, missing: [], tables: [] };
}
