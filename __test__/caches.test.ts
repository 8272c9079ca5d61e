import { describe, expect, test } from "vitest";
import { type Collection, EphemeralClient, PersistentClient } from "../index.js";
import { temporaryPath } from "./support/folder.js";

const ROWS = 5_500;
const DIMENSION = 8;

/** Vectors that tell their row. */
function vectors(rows: number): Float32Array {
  return Float32Array.from({ length: rows * DIMENSION }, (_, i) =>
    Math.sin((Math.floor(i / DIMENSION) + 1) * ((i % DIMENSION) + 1)),
  );
}

async function nearest(collection: Collection, embedding: ArrayLike<number>): Promise<string | undefined> {
  const result = await collection.query({ queryEmbeddings: [Array.from(embedding)], nResults: 1 });
  return result.ids[0]?.[0];
}

describe("the caches of a database", () => {
  test("tell what they hold", async () => {
    const path = temporaryPath();
    const embeddings = vectors(ROWS);
    {
      await using client = new PersistentClient({ path });
      const collection = await client.createCollection({ name: "records", embeddingFunction: null });
      const ids = Array.from({ length: ROWS }, (_, i) => `${i}`);
      await collection.add({ ids, embeddings, dimension: DIMENSION });
      await collection.compact();
    }
    await using client = new PersistentClient({ path, indexCacheBytes: 10_000_000, vectorCacheBytes: 1_000_000 });
    const collection = await client.getCollection({ name: "records" });
    await collection.count();
    const opened = await client.stats();
    expect(opened).toMatchObject({ collections: 1, segments: 1, records: ROWS });
    expect(opened.index).toMatchObject({ open: 0, bytes: 0, hits: 0, misses: 0 });
    await collection.preload();
    const loaded = await client.stats();
    expect(loaded.index).toMatchObject({ open: 1, resident: 1, misses: 1, evictions: 0, budget: 10_000_000 });
    expect(loaded.index.bytes).toBeGreaterThan(ROWS * 64);
    const row = 4_321;
    const query = embeddings.subarray(row * DIMENSION, (row + 1) * DIMENSION);
    // A vector is kept when it is wanted for the second time.
    expect(await nearest(collection, query)).toBe(`${row}`);
    expect((await client.stats()).vectorCache.bytes).toBe(0);
    expect(await nearest(collection, query)).toBe(`${row}`);
    const searched = await client.stats();
    expect(searched.index).toMatchObject({ open: 1, misses: 1 });
    expect(searched.index.hits).toBeGreaterThan(0);
    expect(searched.vectorCache.bytes).toBeGreaterThan(0);
    expect(searched.vectorCache.bytes).toBeLessThanOrEqual(searched.vectorCache.budget);
  });

  test("have options that are checked", () => {
    expect(() => new PersistentClient({ path: temporaryPath(), openSegments: 0 })).toThrow("'openSegments'");
  });
});

describe("a thousand collections", () => {
  test("are all there while few are open", { timeout: 120_000 }, async () => {
    await using client = new PersistentClient({ path: temporaryPath(), openSegments: 50 });
    const collections: Collection[] = [];
    for (let i = 0; i < 1_000; i++) {
      const collection = await client.createCollection({ name: `collection-${i}`, embeddingFunction: null });
      await collection.add({
        ids: ["a", "b"],
        embeddings: [
          [i, 1],
          [-i, 1],
        ],
      });
      collections.push(collection);
    }
    const seen = await Promise.all(collections.map((collection, i) => nearest(collection, [i + 0.1, 1])));
    expect(new Set(seen)).toEqual(new Set(["a"]));
    for (const [i, collection] of collections.entries()) {
      if (i % 97 === 0) await collection.upsert({ ids: ["c"], embeddings: [[i, 2]] });
      expect(await collection.count()).toBe(i % 97 === 0 ? 3 : 2);
    }
    // All were in use at once; those that are idle are closed within a round of the background work.
    await expect.poll(async () => (await client.stats()).collections, { timeout: 30_000 }).toBeLessThanOrEqual(51);
    await collections[5]?.add({ ids: ["d"], embeddings: [[5, 5]] });
    await client.deleteCollection({ name: "collection-5" });
    await expect(collections[5]?.count()).rejects.toMatchObject({ name: "ChromaNotFoundError" });
  });

  test("are closed and opened again in memory, too", async () => {
    // An ephemeral database has no option for it: the default holds.
    await using client = EphemeralClient();
    const collections: Collection[] = [];
    for (let i = 0; i < 300; i++) {
      const collection = await client.createCollection({ name: `collection-${i}`, embeddingFunction: null });
      await collection.add({ ids: ["a"], embeddings: [[i, 1]] });
      collections.push(collection);
    }
    expect((await client.stats()).collections).toBeLessThanOrEqual(257);
    for (const collection of collections) expect(await collection.count()).toBe(1);
  });
});
