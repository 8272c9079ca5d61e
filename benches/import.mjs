// Rows a second of importing a directory that a Chroma server wrote, given by --directory. make_chroma_directory.py writes one.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { formats } from "./table.mjs";

const RUNS = 3;

export const columns = [
  { title: "run", key: "run", format: formats.integer },
  { title: "collections", key: "collections", format: formats.integer },
  { title: "records", key: "records", format: formats.integer },
  { title: "left out", key: "leftOut", format: formats.integer },
  { title: "import s", key: "seconds", format: formats.hundredths },
  { title: "rows/s", key: "rate", format: formats.integer },
  { title: "closed s", key: "closedSeconds", format: formats.hundredths },
  { title: "closed rows/s", key: "closedRate", format: formats.integer },
];

export const legend =
  'From the call of importChroma() to its return; "import" until the last record is acknowledged, "closed" until the database is written\n' +
  "out and closed too. The index is built afterwards, in the background of the next opening.";

async function dimensionOf(client, { id }) {
  const collection = await client.getCollectionById(id);
  const { embeddings } = await collection.get({ limit: 1, include: ["embeddings"] });
  await client.close();
  return embeddings[0]?.length ?? 0;
}

export async function run({ directory, results }, { say }) {
  if (directory === undefined) {
    throw new Error(
      "--directory DIR is missing: a directory that Chroma wrote. benches/make_chroma_directory.py writes one of the WordNet data set, with Python's chromadb",
    );
  }
  if (!existsSync(join(directory, "chroma.sqlite3"))) throw new Error(`${directory} holds no chroma.sqlite3`);
  const { importChroma, PersistentClient } = await import("../dist/index.js");
  const rows = [];
  let dimension = 0;
  for (let run = 1; run <= RUNS; run++) {
    const to = join(results, "stores", "import");
    rmSync(to, { recursive: true, force: true });
    say(`Importing ${directory}, ${run} of ${RUNS} ...`);
    const started = performance.now();
    const { collections, records, leftOut, imported, seconds } = await importChroma({ from: directory, to });
    const closedSeconds = (performance.now() - started) / 1_000;
    rows.push({
      run,
      collections: collections.length,
      records,
      leftOut,
      seconds,
      rate: imported / seconds,
      closedSeconds,
      closedRate: imported / closedSeconds,
    });
    const [largest] = collections.sort((a, b) => b.records - a.records);
    dimension = await dimensionOf(new PersistentClient({ path: to }), largest);
    rmSync(to, { recursive: true, force: true });
  }
  return { rows, missing: [], tables: [], settings: { runs: RUNS, rows: rows[0].records, dimension } };
}
