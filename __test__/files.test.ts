import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import {
  type ChromaClient,
  type Collection,
  EphemeralClient,
  type FileFormat,
  type FileProgress,
  type Metadata,
} from "../index.js";
import { runNode } from "./support/child.js";
import { openClient, temporaryFolder, temporaryPath } from "./support/folder.js";

const FORMATS: FileFormat[] = ["jsonl", "arrow", "parquet"];

function metadataOf(i: number): Metadata | null {
  if (i % 5 === 0) return null;
  return {
    year: 1990 + i,
    score: i / 4,
    checked: i % 2 === 0,
    title: `title ${i}`,
    tags: [`t${i % 3}`, "ä"],
    shares: [0.5, i + 0.25],
    ...(i % 4 === 0 ? { mixed: "text" } : { mixed: i }),
    ...(i % 7 === 0 ? { id: "a key named like a column" } : {}),
  };
}

/** A collection of `rows` records, the first of them sealed. */
async function filled(client: ChromaClient, rows = 60): Promise<Collection> {
  const collection = await client.createCollection({ name: "source", embeddingFunction: null, metadata: { n: 1 } });
  const add = async (numbers: number[], documented: boolean): Promise<void> => {
    await collection.add({
      ids: numbers.map((i) => `id${i}`),
      embeddings: numbers.map((i) => [i, 0.1, -1 / 3]),
      metadatas: numbers.map(metadataOf),
      ...(documented ? { documents: numbers.map((i) => `document ${i} \u{1f600}`) } : {}),
      ...(documented ? {} : { uris: numbers.map((i) => `file:${i}`) }),
    });
  };
  const numbers = Array.from({ length: rows }, (_, i) => i);
  for (const documented of [true, false]) {
    const some = numbers.filter((i) => (i % 6 !== 0) === documented);
    if (some.length > 0) await add(some, documented);
  }
  return collection;
}

async function everything(collection: Collection): Promise<object> {
  const { ids, embeddings, documents, metadatas, uris } = await collection.get({
    include: ["embeddings", "documents", "metadatas", "uris"],
  });
  return { ids, embeddings: embeddings.map((vector) => [...(vector as number[])]), documents, metadatas, uris };
}

describe.each(FORMATS)("%s", (format) => {
  test("what is exported is imported as it was", async () => {
    const client = new EphemeralClient();
    const source = await filled(client);
    const path = join(temporaryFolder(), `records.${format}`);
    const seen: FileProgress[] = [];
    const report = await source.export(path, { batchSize: 25, onProgress: (progress) => seen.push(progress) });
    expect(report).toEqual({ path, format, records: 60, bytes: readFileSync(path).length });
    expect(seen).toEqual([25, 50, 60].map((done) => ({ done, total: 60 })));

    const copy = await client.createCollection({ name: "copy", embeddingFunction: null });
    const read: FileProgress[] = [];
    const imported = await copy.import(path, { batchSize: 20, onProgress: (progress) => read.push(progress) });
    expect(imported).toEqual({ records: 60, added: 60, existing: 0 });
    expect(read.at(-1)).toEqual({ done: 60, total: format === "jsonl" ? undefined : 60 });
    expect(await everything(copy)).toEqual(await everything(source));
    await client.close();
  });

  test("add leaves known ids as they are, upsert changes them", async () => {
    const client = new EphemeralClient();
    const source = await filled(client, 10);
    const path = join(temporaryFolder(), `records.${format}`);
    await source.export(pathToFileURL(path));
    await source.update({ ids: ["id3"], embeddings: [[9, 9, 9]], documents: ["changed"] });
    await source.delete({ ids: ["id4"] });
    expect(await source.import(path)).toEqual({ records: 10, added: 1, existing: 9 });
    expect((await source.get({ ids: ["id3"] })).documents).toEqual(["changed"]);
    expect(await source.import(path, { mode: "upsert" })).toEqual({ records: 10, added: 0, existing: 10 });
    expect((await source.get({ ids: ["id3"] })).documents).toEqual(["document 3 \u{1f600}"]);
    await client.close();
  });

  test("filters, columns and an empty collection", async () => {
    const client = new EphemeralClient();
    const source = await filled(client);
    const path = join(temporaryFolder(), `records.${format}`);
    const some = { where: { year: { $lt: 2000 } }, whereDocument: { $contains: "document" } };
    const expected = await source.get(some);
    expect(await source.export(path, some)).toMatchObject({ records: expected.ids.length });
    const copy = await client.createCollection({ name: "copy", embeddingFunction: null });
    await copy.import(path);
    expect((await copy.get()).ids).toEqual(expected.ids);

    await source.export(path, { include: ["documents"] });
    await expect(copy.import(path)).rejects.toMatchObject({
      name: "ChromaValueError",
      message: expect.stringContaining("embedding"),
    });
    const empty = await client.createCollection({ name: "empty", embeddingFunction: null });
    expect(await empty.export(path)).toMatchObject({ records: 0 });
    expect(await copy.import(path)).toEqual({ records: 0, added: 0, existing: 0 });
    await client.close();
  });

  test("an export that is stopped or fails leaves nothing, not even of what was there", async () => {
    const client = new EphemeralClient();
    const source = await filled(client);
    const folder = temporaryFolder();
    const path = join(folder, `records.${format}`);
    const stop = new AbortController();
    const stopped = source.export(path, {
      batchSize: 10,
      signal: stop.signal,
      onProgress: ({ done }) => {
        if (done >= 30) stop.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(path, "mine");
    await expect(source.export(path, { overwrite: false })).rejects.toMatchObject({ name: "ChromaUniqueError" });
    await expect(source.export(path, { signal: stop.signal })).rejects.toThrow("enough");
    expect(readFileSync(path, "utf8")).toBe("mine");
    await source.export(path);
    expect(readdirSync(folder)).toEqual([`records.${format}`]);

    const copy = await client.createCollection({ name: "copy", embeddingFunction: null });
    const halt = new AbortController();
    const halted = copy.import(path, {
      batchSize: 10,
      signal: halt.signal,
      onProgress: () => halt.abort(new Error("no")),
    });
    await expect(halted).rejects.toThrow("no");
    expect(await copy.count()).toBe(10);
    await client.close();
  });
});

test("a file is of one moment, and writing and reading it takes the memory of a batch", async () => {
  const { stdout, stderr } = await runNode(
    `const [path, folder, formats] = args;
     const rows = 40_000, dimension = 512, step = 2_000;
     const options = { path, indexCacheBytes: 1 << 20, vectorCacheBytes: 1 << 20 };
     const client = new ferrochrome.PersistentClient(options);
     const collection = await client.createCollection({ name: "large", embeddingFunction: null });
     for (let from = 0; from < rows; from += step) {
       const ids = Array.from({ length: step }, (_, i) => String(from + i));
       const embeddings = new Float32Array(step * dimension).map((_, i) => ((i * 2654435761) % 1000) / 8);
       await collection.add({ ids, embeddings, dimension, metadatas: ids.map((id) => ({ n: Number(id) })) });
     }
     await client.close();
     const again = new ferrochrome.PersistentClient(options);
     const large = await again.getCollection({ name: "large" });
     // Else what was left to be indexed and merged is worked on beside the files.
     await large.compact();
     const { readFileSync } = process.getBuiltinModule("fs");
     // Pages of mapped files do not count: the system takes them back as it likes. Only Linux tells them apart.
     const used = () => {
       if (process.platform !== "linux") return process.memoryUsage.rss() / 2 ** 20;
       return Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 2 ** 10;
     };
     const peakOf = async (work) => {
       const before = used();
       let peak = before;
       const report = await work(() => { peak = Math.max(peak, used()); });
       return { ...report, grown: peak - before };
     };
     const reports = [];
     for (const format of formats) {
       const file = folder + "/large." + format;
       const exported = await peakOf((onProgress) => large.export(file, { onProgress }));
       const imported = await peakOf((onProgress) => large.import(file, { onProgress }));
       reports.push({ exported, imported });
     }
     const writing = large.export(folder + "/moment.arrow");
     await large.delete({ where: { n: { $lt: 1_000 } } });
     const { records } = await writing;
     console.log(JSON.stringify({ reports, records, left: await large.count() }));
     await again.close();`,
    [temporaryPath(), temporaryFolder(), FORMATS],
  );
  // MiB. The vectors alone are 78, as text more. A row group of Parquet is encoded in memory and takes 32.
  const bounds: Record<FileFormat, number> = { jsonl: 20, arrow: 20, parquet: 48 };
  expect(stderr).toBe("");
  const { reports, records, left } = JSON.parse(stdout);
  expect(left).toBe(39_000);
  expect([39_000, 40_000]).toContain(records);
  for (const [i, format] of FORMATS.entries()) {
    const { exported, imported } = reports[i];
    expect(exported.records).toBe(40_000);
    expect(imported).toMatchObject({ records: 40_000, existing: 40_000, added: 0 });
    expect(Math.max(exported.grown, imported.grown), JSON.stringify(reports)).toBeLessThan(bounds[format]);
  }
}, 60_000);

test("a file of one format is not taken for another, whatever its name", async () => {
  const client = new EphemeralClient();
  const source = await filled(client, 5);
  const folder = temporaryFolder();
  const copy = await client.createCollection({ name: "copy", embeddingFunction: null });
  for (const format of FORMATS) {
    const path = join(folder, `${format}.dat`);
    await expect(source.export(path)).rejects.toThrow(/does not say its format/);
    await source.export(path, { format });
    expect(await copy.import(path, { mode: "upsert" })).toMatchObject({ records: 5 });
    for (const other of FORMATS) {
      if (other !== format) await expect(copy.import(path, { format: other })).rejects.toThrow();
    }
  }
  await client.close();
});

test("wrong arguments are refused before a file is touched", async () => {
  const client = new EphemeralClient();
  const source = await filled(client, 3);
  const folder = temporaryFolder();
  const path = join(folder, "a.arrow");
  const refused = async (call: Promise<unknown>, name: string, message: RegExp): Promise<void> => {
    const error = await call.then(
      () => undefined,
      (error: Error) => error,
    );
    expect(error).toMatchObject({ name, message: expect.stringMatching(message) });
  };
  const value = "ChromaValueError";
  await refused(source.export("", {}), value, /path of a file/);
  await refused(source.export(path, { format: "csv" as never }), value, /'format' to be one of jsonl, arrow, parquet/);
  await refused(source.export(path, { compression: "snappy" }), value, /one of none, lz4, zstd/);
  await refused(source.export(join(folder, "a.parquet"), { compression: "lz4" }), value, /one of zstd, snappy, none/);
  await refused(source.export(path, { batchSize: 0 }), value, /'batchSize'/);
  await refused(source.export(path, { include: ["distances"] }), value, /distances is not allowed/);
  await refused(source.export(path, { where: { $bad: 1 } as never }), "ChromaClientError", /Bad request to export/);
  await refused(source.import(path), "ChromaNotFoundError", /a\.arrow does not exist/);
  await refused(source.import(folder), value, /is a folder/);
  await refused(source.import(path, { mode: "update" as never }), value, /'mode'/);
  expect(readdirSync(folder)).toEqual([]);
  await source.export(path);
  await refused(source.import(path, { columns: { vector: "x" } as never }), value, /'columns'/);
  await refused(source.import(path, { columns: { embedding: "x" } }), value, /no column `x`/);
  writeFileSync(path, readFileSync(path).subarray(0, 500));
  await refused(source.import(path), value, /is no Arrow IPC file/);
  expect(existsSync(join(folder, "missing"))).toBe(false);
  await refused(source.export(join(folder, "missing", "a.arrow")), "ChromaServerError", /No such file/);
  const jsonl = join(folder, "a.jsonl");
  writeFileSync(jsonl, '{"id":"a","embedding":[1,2,3]}\n{"id":"b","embedding":[1,2]}\n');
  await refused(source.import(jsonl), value, /Line 2 has an embedding of 2 components/);
  await refused(source.import(jsonl, { columns: {} }), value, /'columns' is for Arrow and Parquet/);
  await client.close();
  await refused(source.export(path), "DatabaseClosedError", /closed/);
});

test("lines of other programs", async () => {
  const client = new EphemeralClient();
  const collection = await client.createCollection({ name: "collection", embeddingFunction: null });
  const path = join(temporaryFolder(), "dump.jsonl");
  writeFileSync(
    path,
    '\ufeff{"id":"a","embedding":[1,2],"text_chunk":"one","metadata":{"n":1},"extra":[1]}\r\n\r\n{"_id":"b","vector":[3,4],"text":"two"}',
  );
  expect(await collection.import(path)).toEqual({ records: 2, added: 2, existing: 0 });
  expect(await collection.get()).toMatchObject({ documents: ["one", "two"], metadatas: [{ n: 1 }, null] });
  await client.close();
});

test("a reader exports what a writer in the same process goes on changing", async () => {
  const path = temporaryPath();
  const source = await filled(openClient(path));
  const reader = await openClient(path, { readOnly: true }).getCollection({ name: "source" });
  const file = join(temporaryFolder(), "records.arrow");
  expect(await reader.export(file)).toMatchObject({ records: 60 });
  await source.delete({ ids: ["id1"] });
  expect(await reader.export(file)).toMatchObject({ records: 59 });
  await expect(reader.import(file)).rejects.toMatchObject({ name: "ReadOnlyError" });
});
