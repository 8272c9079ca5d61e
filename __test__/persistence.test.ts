import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PersistentClient } from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

const rowsOf = (
  count: number,
): { ids: string[]; embeddings: number[][]; documents: string[]; metadatas: { n: number }[] } => {
  const numbers = Array.from({ length: count }, (_, i) => i);
  return {
    ids: numbers.map((i) => `id${i}`),
    embeddings: numbers.map((i) => [i, 1]),
    documents: numbers.map((i) => `document ${i}`),
    metadatas: numbers.map((i) => ({ n: i })),
  };
};

describe("a database in a folder", () => {
  test("is opened at the first call, and makes the folder then", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    expect(existsSync(path)).toBe(false);
    await client.heartbeat();
    expect(existsSync(path)).toBe(true);
  });

  test.each([
    ["in the head", {}],
    ["in segments", { sealRows: 64 }],
    ["compressed with lz4", { sealRows: 64, compression: "lz4" }],
    ["compressed with zstd", { sealRows: 64, compression: "zstd" }],
    ["synced", { durability: "full" }],
  ] as const)("keeps everything: %s", async (_name, options) => {
    const path = temporaryPath();
    const rows = rowsOf(300);
    {
      await using client = new PersistentClient({ path, ...options });
      const collection = await client.createCollection({
        name: "kept",
        embeddingFunction: null,
        metadata: { topic: "x" },
        configuration: { hnsw: { space: "cosine" } },
      });
      for (let from = 0; from < 300; from += 100) {
        await collection.add({
          ids: rows.ids.slice(from, from + 100),
          embeddings: rows.embeddings.slice(from, from + 100),
          documents: rows.documents.slice(from, from + 100),
          metadatas: rows.metadatas.slice(from, from + 100),
        });
      }
      await collection.delete({ ids: ["id7"] });
      await collection.update({ ids: ["id8"], documents: ["changed"], embeddings: [[8, 1]] });
    }
    await using client = new PersistentClient({ path });
    const collection = await client.getCollection({ name: "kept" });
    expect(collection).toMatchObject({ metadata: { topic: "x" }, configuration: { hnsw: { space: "cosine" } } });
    const kept = await collection.get({ include: ["documents", "metadatas", "embeddings"] });
    expect(kept.ids).toEqual(rows.ids.filter((id) => id !== "id7"));
    expect(kept.documents[7]).toBe("changed");
    expect(kept.metadatas[7]).toEqual({ n: 8 });
    expect(kept.embeddings[100]).toEqual([101, 1]);
    expect((await collection.get({ where: { n: { $gte: 298 } } })).ids).toEqual(["id298", "id299"]);
    expect((await collection.get({ whereDocument: { $contains: "changed" } })).ids).toEqual(["id8"]);
    const hit = await collection.query({ queryEmbeddings: [[50, 1]], nResults: 1, searchParams: { exact: true } });
    expect(hit.ids).toEqual([["id50"]]);
  });

  test("names and ids never become paths", async () => {
    const path = temporaryPath();
    const client = openClient(path, { sealRows: 1 });
    const collection = await client.createCollection({ name: "paths", embeddingFunction: null });
    await collection.add({ ids: ["../../evil", "C:\\evil", "a/b"], embeddings: [[1], [2], [3]] });
    await collection.compact();
    const names = readdirSync(path, { recursive: true }).map(String);
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(name).not.toMatch(/evil|paths/);
  });

  test("compaction erases what was deleted", async () => {
    const path = temporaryPath();
    const client = openClient(path, { sealRows: 64 });
    const collection = await client.createCollection({ name: "erased", embeddingFunction: null });
    const rows = rowsOf(500);
    await collection.add(rows);
    await collection.delete({ where: { n: { $lt: 400 } } });
    await collection.compact();
    expect(await collection.count()).toBe(100);
    expect((await collection.get({ limit: 1 })).ids).toEqual(["id400"]);
    expect(await collection.getIndexingStatus()).toEqual({
      op_indexing_progress: 1,
      num_unindexed_ops: 0,
      num_indexed_ops: 100,
      total_ops: 100,
    });
    expect(readdirSync(`${path}/segments`)).toHaveLength(1);
  });

  test("a write without await is there after close", async () => {
    const path = temporaryPath();
    const client = new PersistentClient({ path });
    const collection = await client.createCollection({ name: "late", embeddingFunction: null });
    await collection.count();
    const added = collection.add({ ids: ["a"], embeddings: [[1]] });
    await added;
    const second = collection.add({ ids: ["b"], embeddings: [[2]] }).catch((error: Error) => error.name);
    await client.close();
    expect([undefined, "DatabaseClosedError"]).toContain(await second);
    await using again = new PersistentClient({ path });
    const { ids } = await (await again.getCollection({ name: "late" })).get();
    expect(ids).toEqual((await second) === undefined ? ["a", "b"] : ["a"]);
  });
});
