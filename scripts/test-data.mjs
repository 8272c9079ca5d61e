// Writes the database in test_data/format-<n> that later releases must open, and what it holds as JSON. Run it once for each
// format that is released, and again while a format is not: `node scripts/test-data.mjs`, after `npm run build`.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PersistentClient } from "../dist/index.js";

/** Version of the format that this release writes. */
const FORMAT = 1;

const folder = fileURLToPath(new URL(`../test_data/format-${FORMAT}/`, import.meta.url));
const path = join(folder, "db");
const rows = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

/** A record with every type of value; some are without document, metadata or URI. */
function record(i) {
  const tags = ["a", `t${i % 4}`];
  return {
    id: i === 7 ? "sieben \u{1f600}" : `id-${i}`,
    embedding: [Math.fround(Math.sin(i)), Math.fround(i / 8), 1 - i, 0.5],
    document: i % 9 === 4 ? undefined : `document ${i}: iron oxide, page ${i % 5}`,
    metadata: i % 7 === 3 ? undefined : { page: i % 5, weight: i + 0.5, kind: `k${i % 3}`, even: i % 2 === 0, tags },
    uri: i % 10 === 0 ? `file:${i}` : undefined,
  };
}

/** Upserts records, those without a document, metadata or URI by themselves. */
async function upsert(collection, numbers) {
  const kindOf = ({ document, metadata, uri }) => JSON.stringify([document, metadata, uri].map((v) => v !== undefined));
  const records = numbers.map(record);
  for (const kind of new Set(records.map(kindOf))) {
    const group = records.filter((each) => kindOf(each) === kind);
    const column = (name) => (group[0][name] === undefined ? undefined : group.map((each) => each[name]));
    await collection.upsert({
      ids: group.map(({ id }) => id),
      embeddings: group.map(({ embedding }) => embedding),
      documents: column("document"),
      metadatas: column("metadata"),
      uris: column("uri"),
    });
  }
}

/** The collection's records by id. */
async function contentOf(collection) {
  const include = ["documents", "metadatas", "embeddings", "uris"];
  const { ids, documents, metadatas, embeddings, uris } = await collection.get({ include });
  return ids.map((id, i) => ({
    id,
    document: documents[i],
    metadata: metadatas[i],
    embedding: Array.from(embeddings[i]),
    uri: uris[i],
  }));
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const client = new PersistentClient({ path, threads: 1, compression: "lz4" });
const plain = await client.createCollection({
  name: "plain",
  metadata: { purpose: "test data", ratio: 0.25, tags: ["x", "y"] },
  embeddingFunction: null,
});
await upsert(plain, rows(0, 60));
await plain.compact();
await plain.delete({ ids: ["id-1", "id-2"] });
await upsert(plain, rows(55, 70));
const cosine = await client.createCollection({
  name: "cosine",
  configuration: { hnsw: { space: "cosine", quantization: "int4" } },
  embeddingFunction: null,
});
// Enough for an index over codes.
await cosine.add({
  ids: rows(0, 2_100).map(String),
  embeddings: rows(0, 2_100).map((i) => [Math.fround(Math.cos(i)), Math.fround(Math.sin(i))]),
});
await cosine.compact();
await client.createCollection({ name: "empty", embeddingFunction: null });

const nearest = await cosine.query({ queryEmbeddings: [[1, 0]], nResults: 5 });
const expected = {
  collections: [],
  nearest: { query: [1, 0], ids: nearest.ids[0] },
  filtered: (await plain.get({ where: { page: { $gte: 3 } } })).ids,
  containing: (await plain.get({ whereDocument: { $contains: "page 2" } })).ids,
};
for (const { name, metadata, configuration } of await client.listCollections()) {
  const collection = await client.getCollection({ name });
  const records = name === "cosine" ? undefined : await contentOf(collection);
  expected.collections.push({
    name,
    metadata: metadata ?? null,
    configuration,
    count: await collection.count(),
    records,
  });
}
expected.collections.sort((a, b) => (a.name < b.name ? -1 : 1));
await client.close();
// It says who had the database open, and means nothing.
rmSync(join(path, "LOCK"));
writeFileSync(join(folder, "expected.json"), `${JSON.stringify(expected, null, 1)}\n`);
