import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EphemeralClient, HttpClient, PersistentClient, restoreSnapshot, type SnapshotProgress } from "../index.js";
import { openClient, temporaryFolder } from "./support/folder.js";

const ROWS = 200;

/** Rows of a write that is handed over before the event loop turns, however slow the machine is. */
const FEW_ROWS = 16;

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was thrown",
    (error: Error) => error.name,
  );
}

/** Rows that all have the same value. */
function batch(value: number, rows = ROWS): { ids: string[]; embeddings: number[][]; metadatas: { value: number }[] } {
  const each = Array.from({ length: rows }, (_, i) => i);
  return {
    ids: each.map((i) => `id${i}`),
    embeddings: each.map((i) => [i, value]),
    metadatas: each.map(() => ({ value })),
  };
}

async function valuesIn(path: string, name = "notes", rows = ROWS): Promise<unknown[]> {
  await using client = new PersistentClient({ path });
  const { metadatas } = await (await client.getCollection({ name })).get({ include: ["metadatas"] });
  expect(metadatas).toHaveLength(rows);
  return [...new Set(metadatas.map((metadata) => metadata?.value))];
}

test("a snapshot has whole batches, while writes and merges go on", async () => {
  const folder = temporaryFolder();
  const client = openClient(join(folder, "db"), { sealRows: 100 });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.upsert(batch(0));
  await collection.compact();
  let writing = true;
  const writer = (async () => {
    for (let value = 1; writing; value++) {
      await collection.upsert(batch(value));
      if (value % 4 === 0) await collection.compact();
    }
  })();
  const seen: SnapshotProgress[] = [];
  for (let number = 0; number < 3; number++) {
    await client.snapshot(join(folder, `snapshot${number}`), { onProgress: (progress) => seen.push(progress) });
  }
  writing = false;
  await writer;
  for (const { segments, total } of seen) expect(segments).toBeLessThanOrEqual(total);
  let last = 0;
  for (let number = 0; number < 3; number++) {
    const [value, ...others] = await valuesIn(join(folder, `snapshot${number}`));
    expect(others).toEqual([]);
    expect(value).toBeGreaterThanOrEqual(last);
    last = value as number;
  }
});

test("files of segments are linked, and neither side notices the other", async () => {
  const folder = temporaryFolder();
  const [path, copy] = [join(folder, "db"), join(folder, "copy")];
  const client = new PersistentClient({ path });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add(batch(1, FEW_ROWS));
  await collection.compact();
  // What was handed over before is in it, awaited or not.
  const unawaited = collection.upsert(batch(2, FEW_ROWS));
  const done = await client.snapshot(copy);
  await unawaited;
  expect(done).toMatchObject({ segments: 1, total: 1 });
  expect(done.bytes).toBeGreaterThan(0);
  const [segment] = readdirSync(join(copy, "segments"));
  const inode = (root: string): number => statSync(join(root, "segments", segment as string, "vectors.arrow")).ino;
  expect(inode(copy)).toBe(inode(path));
  await collection.upsert(batch(3, FEW_ROWS));
  await collection.compact();
  await client.deleteCollection({ name: "notes" });
  await client.close();
  expect(await valuesIn(copy, "notes", FEW_ROWS)).toEqual([2]);
});

test("a database in memory is written to files, with all tenants", async () => {
  const folder = temporaryFolder();
  await using client = EphemeralClient();
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add(batch(1));
  await collection.compact();
  await collection.createVersion({ label: "first" });
  await collection.upsert(batch(2));
  await client.snapshot(join(folder, "copy"));
  expect(await valuesIn(join(folder, "copy"))).toEqual([2]);
  const copy = openClient(join(folder, "copy"));
  const old = await (await copy.getCollection({ name: "notes" })).at("first");
  expect((await old.get({ limit: 1 })).metadatas).toEqual([{ value: 1 }]);
});

test("a snapshot is refused, or given up, without a trace", async () => {
  const folder = temporaryFolder();
  const client = openClient(join(folder, "db"));
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add(batch(1));
  await collection.compact();
  const full = join(folder, "full");
  mkdirSync(full);
  writeFileSync(join(full, "mine"), "");
  await expect(client.snapshot(full)).rejects.toMatchObject({
    name: "ChromaClientError",
    message: expect.stringContaining("is not empty; choose an empty or a new folder"),
  });
  expect(await failure(client.snapshot(join(folder, "db")))).toBe("ChromaClientError");
  expect(await failure(client.snapshot(""))).toBe("ChromaValueError");
  const reason = new Error("changed my mind");
  await expect(client.snapshot(join(folder, "copy"), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const abort = new AbortController();
  const stopped = client.snapshot(join(folder, "copy"), {
    signal: abort.signal,
    onProgress: () => abort.abort(reason),
  });
  await expect(stopped).rejects.toBe(reason);
  expect(readdirSync(folder).sort()).toEqual(["db", "full"]);
  await expect(HttpClient({ port: 1 }).snapshot(join(folder, "copy"))).rejects.toThrow(
    "snapshot() is for local databases only",
  );
  // Nothing is held back any more.
  await client.deleteCollection({ name: "notes" });
  expect(readdirSync(join(folder, "db", "segments"))).toEqual([]);
});

test("a snapshot is restored into an empty folder, or in place of a closed database", async () => {
  const folder = temporaryFolder();
  const [path, copy] = [join(folder, "db"), join(folder, "copy")];
  const client = new PersistentClient({ path });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add(batch(1));
  await collection.compact();
  await client.snapshot(copy);
  await collection.upsert(batch(2));

  const beside = join(folder, "beside");
  expect(await restoreSnapshot(copy, beside)).toMatchObject({ segments: 1, total: 1 });
  expect(await valuesIn(beside)).toEqual([1]);
  expect(await failure(restoreSnapshot(copy, path))).toBe("ChromaClientError");
  expect(await failure(restoreSnapshot(copy, path, { replace: true }))).toBe("DatabaseLockedError");
  await client.close();
  await restoreSnapshot(copy, path, { replace: true });
  expect(await valuesIn(path)).toEqual([1]);
  expect(await failure(restoreSnapshot(join(folder, "nothing"), join(folder, "x")))).toBe("ChromaNotFoundError");
  expect(existsSync(join(folder, "x"))).toBe(false);
  expect(readdirSync(folder).sort()).toEqual(["beside", "copy", "db"]);
});

test("a damaged snapshot is named and changes nothing", async () => {
  const folder = temporaryFolder();
  const [path, copy] = [join(folder, "db"), join(folder, "copy")];
  const client = EphemeralClient();
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add(batch(1));
  await collection.compact();
  await client.snapshot(copy);
  await client.snapshot(path);
  await client.close();
  const [segment] = readdirSync(join(copy, "segments"));
  writeFileSync(join(copy, "segments", segment as string, "records.arrow"), "no records");
  await expect(restoreSnapshot(copy, path, { replace: true })).rejects.toMatchObject({
    name: "DatabaseCorruptedError",
    message: expect.stringContaining("records.arrow"),
  });
  expect(await valuesIn(path)).toEqual([1]);
  expect(readdirSync(folder).sort()).toEqual(["copy", "db"]);
});
