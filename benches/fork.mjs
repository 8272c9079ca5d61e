// Forks, versions and snapshots: time and space at several sizes, beside a plain copy of the folder.
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { batches, readEntries, readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";

/** Forks, versions and copies made of each size; the table shows the medians. */
const RUNS = 5;
/** Records written to a fork, to see that it is one. */
const WRITTEN = 1_000;
const SMALL = 1_000;

export const columns = [
  { title: "rows", key: "rows", format: formats.integer },
  { title: "fork ms", key: "fork", format: formats.hundredths },
  { title: "first query ms", key: "query", format: formats.hundredths },
  { title: "write 1,000 ms", key: "write", format: formats.tenths },
  { title: "version ms", key: "version", format: formats.hundredths },
  { title: "at ms", key: "at", format: formats.hundredths },
  { title: "snapshot ms", key: "snapshot", format: formats.tenths },
  { title: "cp -a ms", key: "copy", format: formats.tenths },
  { title: "restore ms", key: "restore", format: formats.tenths },
  { title: "disk MB", key: "disk", format: formats.tenths },
  { title: "snapshot's own MB", key: "own", format: formats.tenths },
];

export const legend =
  "fork: collection.fork() until it is returned; first query: on the fork just made; write: an upsert of 1,000 records into it. at: opening a\n" +
  "version. snapshot is synced, cp -a is not. restore copies and verifies. Own: bytes of files with one name only. Medians of five.";

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return [performance.now() - started, result];
}

/** Megabytes of the files in a folder that `counts`. */
function megabytes(folder, counts = () => true) {
  const files = readdirSync(folder, { recursive: true }).map((name) => lstatSync(join(folder, String(name))));
  return files.reduce((sum, file) => sum + (file.isFile() && counts(file) ? file.size : 0), 0) / 1e6;
}

async function fill(collection, entries, size) {
  for (const { ids, documents, metadatas, vectors, dimension } of batches(entries, size)) {
    await collection.add({ ids, documents, metadatas, embeddings: vectors, dimension });
  }
  await collection.compact();
}

async function measure({ client, restoreSnapshot, collection, path, query, changes }) {
  const times = { fork: [], query: [], write: [], version: [], at: [], snapshot: [], copy: [], restore: [] };
  const add = async (name, work) => {
    const [time, result] = await timed(work);
    times[name].push(time);
    return result;
  };
  const elsewhere = (name) => {
    const folder = `${path}-${name}`;
    rmSync(folder, { recursive: true, force: true });
    return folder;
  };
  let own = 0;
  for (let run = 0; run < RUNS; run++) {
    const fork = await add("fork", () => collection.fork({ name: `fork-${run}` }));
    await add("query", () => fork.query({ queryEmbeddings: [query] }));
    await add("write", () => fork.upsert(changes));
    await client.deleteCollection({ name: fork.name });
    // Each has a write before it, as without one it is the same version.
    await collection.upsert({
      ids: changes.ids.slice(0, 1),
      embeddings: changes.embeddings.subarray(0, query.length),
      dimension: query.length,
    });
    const { version } = await add("version", () => collection.createVersion());
    await add("at", () => collection.at(version));
    await collection.deleteVersion(version);
    const snapshot = elsewhere("snapshot");
    await add("snapshot", () => client.snapshot(snapshot));
    own = megabytes(snapshot, ({ nlink }) => nlink === 1);
    await add("copy", async () => spawnSync("cp", ["-a", path, elsewhere("copy")]));
    await add("restore", () => restoreSnapshot(snapshot, elsewhere("restored")));
  }
  for (const name of ["snapshot", "copy", "restored"]) elsewhere(name);
  const medians = Object.fromEntries(Object.entries(times).map(([name, values]) => [name, median(values)]));
  return { ...medians, disk: megabytes(path), own };
}

export async function run({ results, settings }, { say }) {
  const { PersistentClient, restoreSnapshot } = await import("../dist/index.js");
  const entries = readEntries(settings.rows);
  const [query] = readQueries(1);
  const sizes = [...new Set([Math.min(SMALL, settings.rows), Math.min(100_000, settings.rows), settings.rows])];
  const rows = [];
  for (const size of sizes) {
    say(`Filling ${size} rows ...`);
    const path = join(results, "stores", `fork-${size}`);
    if (existsSync(path) && statSync(path).isDirectory()) rmSync(path, { recursive: true });
    const client = new PersistentClient({ path });
    const configuration = { hnsw: { space: "cosine", max_neighbors: 16, ef_construction: 200 } };
    const collection = await client.createCollection({ name: "wordnet", embeddingFunction: null, configuration });
    const part = Object.fromEntries(
      Object.entries(entries).map(([name, column]) => [
        name,
        column.slice(0, name === "vectors" ? size * query.length : size),
      ]),
    );
    await fill(collection, part, settings.batch);
    const written = Math.min(WRITTEN, size);
    const changes = {
      ids: part.ids.slice(0, written),
      embeddings: part.vectors.subarray(0, written * query.length),
      dimension: query.length,
    };
    say(`Forking, keeping and copying ${size} rows ...`);
    rows.push({ rows: size, ...(await measure({ client, restoreSnapshot, collection, path, query, changes })) });
    await client.close();
    rmSync(path, { recursive: true, force: true });
  }
  return { rows, missing: [], tables: [] };
}
