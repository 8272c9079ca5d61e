import { expect } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { DIMENSION, embedText } from "./word-embeddings.js";

testWith(["@mastra/chroma", "@mastra/core"], "Mastra keeps its vectors in a folder", async () => {
  const { ChromaVector } = await import("@mastra/chroma");
  const path = temporaryPath();
  const store = new ChromaVector({ id: "vectors", path });
  const indexName = "docs";
  await store.createIndex({ indexName, dimension: DIMENSION, metric: "cosine" });
  await store.createIndex({ indexName, dimension: DIMENSION, metric: "cosine" });
  await expect(store.createIndex({ indexName, dimension: 8, metric: "cosine" })).rejects.toThrow(/dimension/);

  const texts = ["red apples", "steel and iron", "a letter"];
  const ids = await store.upsert({
    indexName,
    vectors: texts.map(embedText),
    metadata: [{ kind: "fruit", n: 1 }, { kind: "metal", n: 2, deep: { er: "x" } }, {}],
    documents: texts,
    ids: ["a", "b", "c"],
  });
  expect(ids).toEqual(["a", "b", "c"]);
  expect(await store.describeIndex({ indexName })).toEqual({ dimension: DIMENSION, count: 3, metric: "cosine" });
  expect(await store.listIndexes()).toEqual([indexName]);

  const [hit] = await store.query({ indexName, queryVector: embedText("iron"), topK: 1, includeVector: true });
  expect(hit).toMatchObject({ id: "b", document: texts[1], metadata: { kind: "metal", n: 2, "deep.er": "x" } });
  expect(hit?.score).toBeCloseTo(1 / Math.sqrt(3), 5);
  expect(hit?.vector).toHaveLength(DIMENSION);
  const filtered = { indexName, queryVector: embedText("iron"), topK: 5 };
  const idsWhere = async (filter: object) =>
    (await store.query({ ...filtered, filter: filter as never })).map(({ id }) => id);
  expect(await idsWhere({ kind: "fruit", n: { $gte: 1, $lt: 2 } })).toEqual(["a"]);
  expect(await idsWhere({ $or: [{ kind: "fruit" }, { deep: { er: "x" } }] })).toEqual(["b", "a"]);
  expect(await idsWhere({})).toHaveLength(3);
  expect((await store.query({ ...filtered, documentFilter: { $contains: "letter" } })).map(({ id }) => id)).toEqual([
    "c",
  ]);
  expect(await store.get({ indexName, ids: ["a"] })).toMatchObject([{ id: "a", document: texts[0] }]);

  await store.updateVector({ indexName, id: "a", update: { metadata: { n: 9 }, vector: embedText("green pears") } });
  await store.updateVector({ indexName, filter: { kind: "metal" }, update: { metadata: { seen: true } } });
  expect(await store.get({ indexName, filter: { seen: true } })).toMatchObject([{ id: "b" }]);
  await expect(store.upsert({ indexName, vectors: [[1]] })).rejects.toThrow(/dimension/);

  await store.deleteVector({ indexName, id: "c" });
  await store.deleteVectors({ indexName, filter: { n: { $gt: 5 } } });
  expect((await store.describeIndex({ indexName })).count).toBe(1);
  const again = new ChromaVector({ id: "again", path });
  expect((await again.describeIndex({ indexName })).count).toBe(1);
  await store.deleteIndex({ indexName });
  expect(await again.listIndexes()).toEqual([]);
});
