import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Collection, EphemeralClient, HttpClient, PersistentClient, ReadLevel } from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";
import { startServer } from "./support/server.js";

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `id${i}`);

async function fill(collection: Collection, count: number, value: number): Promise<void> {
  await collection.upsert({
    ids: ids(count),
    embeddings: Array.from({ length: count }, (_, i) => [i, value]),
    documents: Array.from({ length: count }, () => `value ${value}`),
    metadatas: Array.from({ length: count }, () => ({ value })),
  });
}

async function values(collection: Collection): Promise<unknown[]> {
  const { metadatas } = await collection.get({ include: ["metadatas"] });
  return [...new Set(metadatas.map((metadata) => metadata?.value))];
}

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was thrown",
    (error: Error) => error.name,
  );
}

describe("fork", () => {
  test("copies everything, and both sides go their own ways, across a reopening", async () => {
    const path = temporaryPath();
    const first = new PersistentClient({ path, sealRows: 64 });
    const embeddingFunction = { generate: async (texts: string[]) => texts.map((text) => [text.length, 0]) };
    const source = await first.createCollection({
      name: "source",
      metadata: { owner: "a" },
      configuration: { hnsw: { space: "cosine", ef_search: 77 } },
      embeddingFunction,
    });
    await fill(source, 300, 1);
    // The fork has what was asked for before it, awaited or not.
    const writing = source.upsert({ ids: ["late"], documents: ["not awaited"], metadatas: [{ value: 1 }] });
    await writing;
    const unawaited = source.add({ ids: ["later"], embeddings: [[1, 1]], metadatas: [{ value: 1 }] });
    const fork = await source.fork({ name: "copy" });
    await unawaited;
    expect(fork.id).not.toBe(source.id);
    expect([fork.name, fork.metadata, fork.configuration]).toEqual(["copy", { owner: "a" }, source.configuration]);
    const known = await first.getCollection({ name: "source" });
    expect(fork.schema?.serializeToJSON()).toEqual(known.schema?.serializeToJSON());
    expect([await fork.count(), await source.count()]).toEqual([302, 302]);
    await fork.add({ ids: ["embedded"], documents: ["by the function"] });

    await fill(source, 300, 2);
    await fork.delete({ ids: ["id0"] });
    await source.compact();
    await first.close();

    const again = openClient(path, { sealRows: 64 });
    const [a, b] = [await again.getCollection({ name: "source" }), await again.getCollection({ name: "copy" })];
    expect(await values(a)).toEqual([2, 1]);
    expect([await a.count(), await b.count()]).toEqual([302, 302]);
    expect((await b.get({ ids: ["id0", "id1", "embedded"] })).ids).toEqual(["id1", "embedded"]);
    expect((await b.get({ where: { value: 2 } })).ids).toEqual([]);
    expect((await b.get({ whereDocument: { $contains: "value 1" } })).ids).toHaveLength(299);
    const nearest = await b.query({ queryEmbeddings: [[5, 1]], nResults: 1 });
    expect(nearest.ids).toEqual([["id5"]]);
  });

  test("shares files, which go with the last that needs them", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const segments = (): number => readdirSync(`${path}/segments`).length;
    const source = await client.createCollection({ name: "source", embeddingFunction: null });
    await fill(source, 100, 1);
    await source.compact();
    const fork = await source.fork({ name: "one" });
    const second = await fork.fork({ name: "two" });
    expect(segments()).toBe(1);
    await client.deleteCollection({ name: "source" });
    expect(await failure(source.count())).toBe("ChromaNotFoundError");
    await second.upsert({ ids: ["id1"], embeddings: [[0, 0]], metadatas: [{ value: 9 }] });
    await second.compact();
    expect(segments()).toBe(2);
    expect(await values(fork)).toEqual([1]);
    await client.deleteCollection({ name: "one" });
    expect(segments()).toBe(1);
    expect(await values(second)).toEqual([1, 9]);
    await client.deleteCollection({ name: "two" });
    expect(segments()).toBe(0);
  });

  test("is counted over the whole family, as in Chroma", async () => {
    await using client = EphemeralClient();
    const source = await client.createCollection({ name: "source", embeddingFunction: null });
    const other = await client.createCollection({ name: "other", embeddingFunction: null });
    expect(await source.forkCount()).toBe(0);
    const child = await source.fork({ name: "child" });
    const grandchild = await child.fork({ name: "grandchild" });
    const counts = async (...of: Collection[]): Promise<number[]> =>
      Promise.all(of.map((collection) => collection.forkCount()));
    expect(await counts(source, child, grandchild, other)).toEqual([2, 2, 2, 0]);
    await client.deleteCollection({ name: "source" });
    expect(await counts(child, grandchild)).toEqual([2, 2]);
    await client.deleteCollection({ name: "child" });
    expect(await counts(grandchild)).toEqual([1]);
    expect(await failure(source.forkCount())).toBe("ChromaNotFoundError");
  });

  test("refuses names as the creation of a collection does", async () => {
    await using client = EphemeralClient();
    const source = await client.createCollection({ name: "source", embeddingFunction: null });
    expect(await failure(source.fork({ name: "source" }))).toBe("ChromaUniqueError");
    expect(await failure(source.fork({ name: "x" }))).toBe("ChromaClientError");
    expect(await failure(source.fork({ name: "copy", version: 3 }))).toBe("ChromaNotFoundError");
    expect(await failure(source.fork({ name: "copy", version: -1 }))).toBe("ChromaValueError");
    expect(await client.countCollections()).toBe(1);
  });
});

describe("versions", () => {
  test("are states that stay as they were", async () => {
    const path = temporaryPath();
    const first = new PersistentClient({ path });
    const collection = await first.createCollection({ name: "notes", embeddingFunction: null });
    const before = Date.now();
    const empty = await collection.createVersion({ label: "empty" });
    await fill(collection, 50, 1);
    const full = await collection.createVersion();
    await fill(collection, 60, 2);
    await collection.compact();
    expect(empty).toMatchObject({ version: 0, label: "empty", count: 0, automatic: false });
    expect(full).toMatchObject({ version: 1, label: undefined, count: 50 });
    expect(full.createdAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(await collection.versions()).toEqual([empty, full]);
    await first.close();

    const client = openClient(path);
    const again = await client.getCollection({ name: "notes" });
    expect(await again.versions()).toEqual([empty, full]);
    const [nothing, old] = [await again.at("empty"), await again.at(full.version)];
    expect(await nothing.count()).toBe(0);
    expect([await old.count(), await again.count()]).toEqual([50, 60]);
    expect(await values(old)).toEqual([1]);
    expect((await old.peek({ limit: 1 })).documents).toEqual(["value 1"]);
    expect((await old.query({ queryEmbeddings: [[3, 1]], nResults: 1, where: { value: 1 } })).ids).toEqual([["id3"]]);
    expect((await old.explain({ queryEmbeddings: [[3, 1]] })).parts).not.toHaveLength(0);
    expect((await old.getIndexingStatus()).total_ops).toBe(50);

    const restored = await again.fork({ name: "restored", version: full.version });
    const fromView = await nothing.fork({ name: "emptied" });
    expect(await values(restored)).toEqual([1]);
    expect(await fromView.count()).toBe(0);
    await fill(restored, 1, 3);
    expect(await values(old)).toEqual([1]);
  });

  test("cannot be changed", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    await fill(collection, 3, 1);
    const { version } = await collection.createVersion();
    const old = await collection.at(version);
    const changes = [
      () => old.add({ ids: ["x"], embeddings: [[1, 1]] }),
      () => old.update({ ids: ["id0"], embeddings: [[1, 1]] }),
      () => old.upsert({ ids: ["x"], embeddings: [[1, 1]] }),
      () => old.delete({ ids: ["id0"] }),
      () => old.modify({ name: "other" }),
      () => old.compact(),
      () => old.createVersion(),
      () => old.deleteVersion(version),
      () => old.fork({ name: "copy", version }),
    ];
    for (const change of changes) expect(await failure(change())).toBe("ReadOnlyError");
    expect(await old.count()).toBe(3);
    await old.preload();
  });

  test("are named by number or label, and gone when they are deleted", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    const first = await collection.createVersion({ label: "twice" });
    await fill(collection, 3, 1);
    const second = await collection.createVersion({ label: "twice" });
    expect(await (await collection.at("twice")).count()).toBe(3);
    // The same state is the same version.
    expect(await collection.createVersion()).toEqual(second);
    expect((await collection.createVersion({ label: "renamed" })).label).toBe("renamed");
    expect(await collection.versions()).toHaveLength(2);
    const old = await collection.at(second.version);
    await collection.deleteVersion("renamed");
    expect(await failure(old.count())).toBe("ChromaNotFoundError");
    expect(await failure(collection.at(second.version))).toBe("ChromaNotFoundError");
    expect(await failure(collection.at("renamed"))).toBe("ChromaNotFoundError");
    expect(await failure(collection.deleteVersion(second.version))).toBe("ChromaNotFoundError");
    expect(await collection.versions()).toEqual([first]);
    expect(await failure(collection.createVersion({ label: "" }))).toBe("ChromaValueError");
    expect(await failure(collection.createVersion({ label: "x".repeat(513) }))).toBe("ChromaValueError");
    const early = await collection.at("twice");
    await client.deleteCollection({ name: "notes" });
    expect(await failure(early.count())).toBe("ChromaNotFoundError");
    expect(await failure(collection.versions())).toBe("ChromaNotFoundError");
  });

  test("are kept automatically where the configuration says so", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const versions = { keep: 2, max_age_seconds: 3_600 };
    const collection = await client.createCollection({
      name: "notes",
      embeddingFunction: null,
      configuration: { versions },
    });
    expect(collection.configuration.versions).toEqual(versions);
    for (let value = 0; value < 4; value++) {
      await fill(collection, 10, value);
      await collection.compact();
    }
    const kept = await collection.versions();
    expect(kept.map(({ automatic, count }) => [automatic, count])).toEqual([
      [true, 10],
      [true, 10],
    ]);
    expect(await values(await collection.at(kept[0]?.version as number))).toEqual([2]);
    expect(readdirSync(`${path}/segments`)).toHaveLength(2);

    await collection.modify({ configuration: { versions: { keep: 0 } } });
    expect(collection.configuration.versions).toEqual({ keep: 0 });
    await fill(collection, 10, 9);
    await collection.compact();
    expect(await collection.versions()).toEqual(kept);
    const wrong = { keep: -1 };
    expect(await failure(collection.modify({ configuration: { versions: wrong } }))).toBe("ChromaClientError");
    const missing = { max_age_seconds: 1 } as never;
    expect(await failure(collection.modify({ configuration: { versions: missing } }))).toBe("ChromaClientError");
  });

  test("a handle has them, without an embedding function", async () => {
    await using client = EphemeralClient();
    const { id } = await client.createCollection({ name: "notes", embeddingFunction: null });
    const handle = client.collection(id);
    await handle.add({ ids: ["a"], embeddings: [[1]] });
    const { version } = await handle.createVersion({ label: "one" });
    await handle.delete({ ids: ["a"] });
    const old = await handle.at("one");
    expect([await old.count(), await handle.count()]).toEqual([1, 0]);
    expect(await failure(old.add({ ids: ["b"], documents: ["text"] }))).toBe("ChromaValueError");
    await handle.deleteVersion(version);
    expect(await handle.versions()).toEqual([]);
  });
});

test("a server forks and counts; versions are for local databases", async () => {
  const { host, port } = await startServer();
  const client = HttpClient({ host, port });
  const source = await client.createCollection({ name: "source", embeddingFunction: null, metadata: { a: 1 } });
  await fill(source, 5, 1);
  const fork = await source.fork({ name: "copy" });
  expect([fork.name, fork.metadata, await fork.count()]).toEqual(["copy", { a: 1 }, 5]);
  expect(await source.forkCount()).toBe(1);
  expect(await failure(source.fork({ name: "copy" }))).toBe("ChromaUniqueError");
  expect(await failure(source.fork({ name: "x" }))).toBe("ChromaClientError");
  const refused = [
    () => source.versions(),
    () => source.createVersion(),
    () => source.at(1),
    () => source.deleteVersion(1),
    () => source.fork({ name: "other", version: 1 }),
  ];
  for (const call of refused) expect(await failure(call())).toBe("ChromaValueError");
});

test("every read level counts everything that was acknowledged", async () => {
  await using local = EphemeralClient();
  const { host, port } = await startServer();
  for (const client of [local, HttpClient({ host, port })]) {
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    await fill(collection, 7, 1);
    for (const readLevel of Object.values(ReadLevel)) expect(await collection.count({ readLevel })).toBe(7);
    expect(await collection.getIndexingStatus()).toEqual({
      op_indexing_progress: 0,
      num_unindexed_ops: 7,
      num_indexed_ops: 0,
      total_ops: 7,
    });
  }
});
