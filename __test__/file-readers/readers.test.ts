/** Other programs read the files that we write, and we read theirs. */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { type Collection, EphemeralClient } from "../../index.js";
import { temporaryFolder } from "../support/folder.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const ROWS = 30;

/** A package of this folder, or null where it is not installed. */
async function load(name: string): Promise<Record<string, unknown> | null> {
  if (!existsSync(`${here}node_modules/${name}/package.json`)) {
    console.warn(`${name} is not installed (npm ci --prefix __test__/file-readers): its test is skipped`);
    return null;
  }
  return import(pathToFileURL(createRequire(`${here}package.json`).resolve(name)).href);
}

/** The record whose number no JavaScript number but its neighbours could stand for. */
const isLarge = (i: number): boolean => i === ROWS - 1;

async function source(): Promise<Collection> {
  const collection = await new EphemeralClient().createCollection({ name: "collection", embeddingFunction: null });
  for (let i = 0; i < ROWS; i++) {
    await collection.add({
      ids: [`id${i}`],
      embeddings: [[i, 0.5]],
      metadatas: [{ n: isLarge(i) ? 2 ** 53 : i, x: i + 0.5, tags: ["a", `t${i}`], mixed: i % 2 ? i : "s" }],
      ...(i % 3 === 0 ? {} : { documents: [`document ${i}`] }),
    });
  }
  return collection;
}

interface ArrowTable {
  numRows: number;
  schema: { fields: { name: string; type: { toString(): string } }[] };
  get(row: number): { toJSON(): Record<string, unknown> } | null;
}

const arrow = await load("apache-arrow");

test.skipIf(arrow === null)("apache-arrow reads an Arrow file", async () => {
  const { tableFromIPC } = arrow as { tableFromIPC(bytes: Uint8Array): ArrowTable };
  const path = join(temporaryFolder(), "c.arrow");
  await (await source()).export(path, { batchSize: 7 });
  const table = tableFromIPC(readFileSync(path));
  expect(table.numRows).toBe(ROWS);
  expect(Object.fromEntries(table.schema.fields.map(({ name, type }) => [name, String(type)]))).toMatchObject({
    id: "Utf8",
    embedding: "FixedSizeList[2]<Float32>",
    n: "Int64",
    x: "Float64",
    metadata: "Utf8",
  });
  const row = table.get(8)?.toJSON() as Record<string, unknown>;
  expect(row).toMatchObject({ id: "id8", document: "document 8", n: 8n, x: 8.5, metadata: '{"mixed":"s"}' });
  expect([...(row.embedding as Iterable<number>)]).toEqual([8, 0.5]);
  expect([...(row.tags as Iterable<string>)]).toEqual(["a", "t8"]);
});

const hyparquet = await load("hyparquet");
const compressors = await load("hyparquet-compressors");

test.skipIf(hyparquet === null || compressors === null)("hyparquet reads a Parquet file", async () => {
  const { parquetReadObjects } = hyparquet as {
    parquetReadObjects(options: object): Promise<Record<string, unknown>[]>;
  };
  const path = join(temporaryFolder(), "c.parquet");
  for (const compression of ["zstd", "snappy", "none"] as const) {
    await (await source()).export(path, { batchSize: 7, compression });
    const bytes = readFileSync(path);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const rows = await parquetReadObjects({ file, compressors: compressors?.compressors });
    expect(rows).toHaveLength(ROWS);
    expect(rows[8]).toMatchObject({ id: "id8", document: "document 8", n: 8n, x: 8.5, tags: ["a", "t8"] });
    expect(rows[8]?.embedding).toEqual([8, 0.5]);
    expect(rows[9]?.document ?? null).toBeNull();
  }
});

/** Python with pyarrow and duckdb, or null. */
function findPython(): string | null {
  const python = process.env.FERROCHROME_PYTHON ?? "python3";
  const script =
    "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in ('pyarrow', 'duckdb')))";
  if (spawnSync(python, ["-c", script]).status === 0) return python;
  console.warn(
    `${python} has no pyarrow and duckdb (pip install pyarrow duckdb; FERROCHROME_PYTHON names a Python): its test is skipped`,
  );
  return null;
}

const python = findPython();

test.skipIf(python === null)("pyarrow and DuckDB read our files, and we read theirs", { timeout: 60_000 }, async () => {
  const folder = temporaryFolder();
  const collection = await source();
  await collection.export(join(folder, "c.arrow"), { compression: "lz4" });
  await collection.export(join(folder, "c.parquet"));
  await collection.export(join(folder, "c.jsonl"), { describe: false });
  const run = promisify(execFile);
  const { stdout } = await run(python as string, [join(here, "readers.py"), folder]);
  expect(JSON.parse(stdout)).toEqual({
    "c.arrow": [ROWS, 2 ** 53, 8.5],
    "c.parquet": [ROWS, 2 ** 53, 8.5],
    duckdb: [ROWS, 8.5, 2],
    lines: ROWS,
  });
  const client = new EphemeralClient();
  const theirs = [
    "pyarrow.arrow",
    "pyarrow.parquet",
    "snappy.parquet",
    "duckdb.parquet",
    "lance.arrow",
    "lance.parquet",
  ];
  for (const [i, name] of theirs.entries()) {
    const copy = await client.createCollection({ name: `copy-${i}`, embeddingFunction: null });
    const ignore = name.startsWith("lance.") ? { columns: { ignore: ["created"] } } : {};
    expect(await copy.import(join(folder, name), ignore), name).toEqual({ records: 3, added: 3, existing: 0 });
    const { ids, documents, metadatas, embeddings } = await copy.get({
      include: ["documents", "metadatas", "embeddings"],
    });
    expect({ ids, documents }).toEqual({ ids: ["1", "2", "3"], documents: ["one", null, "three"] });
    expect(metadatas[2], name).toEqual({ year: 2003, score: 0.25, colour: "red", tags: ["x", "y"] });
    expect(embeddings.map((vector) => [...(vector as number[])])).toEqual([
      [1, 0.5],
      [2, 0.5],
      [3, 0.5],
    ]);
  }
  await client.close();
});
