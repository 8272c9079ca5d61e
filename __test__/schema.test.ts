import { describe, expect, test } from "vitest";
import {
  BoolInvertedIndexConfig,
  Cmek,
  CmekProvider,
  DOCUMENT_KEY,
  EMBEDDING_KEY,
  EphemeralClient,
  FloatInvertedIndexConfig,
  FtsIndexConfig,
  IntInvertedIndexConfig,
  Schema,
  SparseVectorIndexConfig,
  StringInvertedIndexConfig,
  VectorIndexConfig,
} from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

const off = { enabled: false, config: {} };
const on = { enabled: true, config: {} };

describe("a new schema", () => {
  test("keeps inverted indexes over metadata, full text over documents, vectors under #embedding", () => {
    expect(new Schema().serializeToJSON()).toEqual({
      defaults: {
        string: { fts_index: off, string_inverted_index: on },
        float_list: { vector_index: { enabled: false, config: { embedding_function: { type: "legacy" } } } },
        sparse_vector: { sparse_vector_index: { enabled: false, config: { embedding_function: { type: "legacy" } } } },
        int: { int_inverted_index: on },
        float: { float_inverted_index: on },
        bool: { bool_inverted_index: on },
      },
      keys: {
        "#document": { string: { fts_index: on, string_inverted_index: off } },
        "#embedding": {
          float_list: {
            vector_index: {
              enabled: true,
              config: { embedding_function: { type: "legacy" }, source_key: "#document" },
            },
          },
        },
      },
    });
  });
});

describe("createIndex and deleteIndex", () => {
  test("set defaults and keys", () => {
    const schema = new Schema()
      .deleteIndex(new StringInvertedIndexConfig())
      .createIndex(new StringInvertedIndexConfig(), "title")
      .deleteIndex(new IntInvertedIndexConfig(), "n")
      .deleteIndex(new FloatInvertedIndexConfig())
      .deleteIndex(new BoolInvertedIndexConfig(), "__proto__")
      .deleteIndex(new FtsIndexConfig(), "#document");
    const json = schema.serializeToJSON();
    expect(json.defaults.string?.string_inverted_index).toEqual(off);
    expect(json.defaults.float?.float_inverted_index).toEqual(off);
    expect(json.keys.title).toEqual({ string: { string_inverted_index: on } });
    expect(json.keys.n).toEqual({ int: { int_inverted_index: off } });
    expect(Object.keys(json.keys)).toContain("__proto__");
    expect(json.keys["#document"]?.string?.fts_index).toEqual(off);
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
  });

  test("a vector index is configured for the whole collection, keeping the source key", () => {
    const schema = new Schema().createIndex(
      new VectorIndexConfig({ space: "ip", sourceKey: { name: "ignored" }, hnsw: { max_neighbors: 7 } }),
    );
    expect(schema.defaults.floatList?.vectorIndex).toMatchObject({
      enabled: false,
      config: { space: "ip", sourceKey: "ignored" },
    });
    expect(schema.keys[EMBEDDING_KEY]?.floatList?.vectorIndex).toMatchObject({
      enabled: true,
      config: { space: "ip", sourceKey: DOCUMENT_KEY, hnsw: { max_neighbors: 7 } },
    });
  });

  test.each<[unknown, string | undefined, string]>([
    [undefined, undefined, "Cannot enable all index types globally"],
    [new StringInvertedIndexConfig(), "#embedding", "Cannot create index on special key '#embedding'"],
    [new StringInvertedIndexConfig(), "#document", "Only FtsIndexConfig is allowed for #document"],
    [new StringInvertedIndexConfig(), "#id", "key cannot begin with '#'"],
    [new VectorIndexConfig(), "k", "Vector index cannot be enabled on specific keys"],
    [new FtsIndexConfig(), undefined, "FTS index can only be enabled on #document key"],
    [new FtsIndexConfig(), "k", "FTS index can only be enabled on #document key"],
    [new SparseVectorIndexConfig(), undefined, "Sparse vector index must be created on a specific key"],
    [new SparseVectorIndexConfig({ sourceKey: "x" }), "k", "embeddingFunction must also be provided"],
    [undefined, "k", "Cannot enable all index types for key 'k'"],
  ])("createIndex case %#", (config, key, message) => {
    expect(() => new Schema().createIndex(config as never, key)).toThrow(message);
  });

  test.each<[unknown, string | undefined, string]>([
    [undefined, undefined, "Cannot disable all indexes"],
    [new StringInvertedIndexConfig(), "#embedding", "Cannot modify #embedding"],
    [new StringInvertedIndexConfig(), "#document", "Only FtsIndexConfig is allowed for #document"],
    [new StringInvertedIndexConfig(), "#id", "key cannot begin with '#'"],
    [new VectorIndexConfig(), undefined, "Deleting vector index is not currently supported"],
    [new SparseVectorIndexConfig(), "k", "Deleting sparse vector index is not currently supported"],
    [new FtsIndexConfig(), "k", "Deleting FTS index is only supported on #document key"],
    [undefined, "k", "Cannot disable all index types for key 'k'"],
  ])("deleteIndex case %#", (config, key, message) => {
    expect(() => new Schema().deleteIndex(config as never, key)).toThrow(message);
  });
});

test("a schema is read back from its JSON", async () => {
  const schema = new Schema()
    .createIndex(new VectorIndexConfig({ space: "cosine", hnsw: { ef_search: 9 } }))
    .deleteIndex(new StringInvertedIndexConfig(), "html")
    .setCmek(Cmek.gcp("projects/p/locations/l/keyRings/r/cryptoKeys/k"));
  const json = schema.serializeToJSON();
  const read = await Schema.deserializeFromJSON(JSON.parse(JSON.stringify(json)));
  expect(read?.serializeToJSON()).toEqual(json);
  expect(await Schema.deserializeFromJSON(null)).toBeUndefined();
});

test("encryption keys have a form", () => {
  const key = Cmek.gcp("projects/p/locations/l/keyRings/r/cryptoKeys/k");
  expect(key.provider).toBe(CmekProvider.GCP);
  expect(key.validatePattern()).toBe(true);
  expect(Cmek.gcp("nonsense").validatePattern()).toBe(false);
  expect(Cmek.fromJSON(key.toJSON())).toEqual(key);
  expect(() => Cmek.fromJSON({ aws: "x" })).toThrow("Unsupported or missing CMEK provider");
});

describe("the schema of a collection", () => {
  test("is complete, and agrees with the configuration", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({
      name: "plain",
      embeddingFunction: null,
      configuration: { hnsw: { space: "cosine", max_neighbors: 8 } },
    });
    const vectorIndex = collection.schema?.keys[EMBEDDING_KEY]?.floatList?.vectorIndex;
    expect(vectorIndex).toMatchObject({
      enabled: true,
      config: { space: "cosine", sourceKey: "#document", hnsw: { max_neighbors: 8, ef_construction: 100 } },
    });
    expect(collection.schema?.defaults.floatList?.vectorIndex).toMatchObject({
      enabled: false,
      config: { space: "cosine" },
    });
    await collection.modify({ configuration: { hnsw: { ef_search: 55 } } });
    expect(collection.configuration.hnsw?.ef_search).toBe(55);
    const again = await client.getCollection({ name: "plain" });
    expect(again.configuration.hnsw).toMatchObject({ ef_search: 55, max_neighbors: 8, space: "cosine" });
    expect(again.schema?.keys[EMBEDDING_KEY]?.floatList?.vectorIndex?.config.hnsw).toMatchObject({
      ef_search: 55,
      max_neighbors: 8,
      batch_size: 100,
    });
  });

  test("sets the space of the configuration", async () => {
    await using client = EphemeralClient();
    const schema = new Schema().createIndex(new VectorIndexConfig({ space: "ip", hnsw: { max_neighbors: 5 } }));
    const collection = await client.createCollection({ name: "from-schema", embeddingFunction: null, schema });
    expect(collection.configuration.hnsw).toMatchObject({ space: "ip", max_neighbors: 5, ef_search: 100 });
    await collection.add({
      ids: ["a", "b"],
      embeddings: [
        [1, 0],
        [2, 0],
      ],
    });
    const result = await collection.query({ queryEmbeddings: [[1, 0]] });
    expect(result.ids).toEqual([["b", "a"]]);
    expect(result.distances).toEqual([[-1, 0]]);
  });

  test("gains the keys that records introduce", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "keys", embeddingFunction: null });
    expect(Object.keys(collection.schema?.keys ?? {}).sort()).toEqual(["#document", "#embedding"]);
    await collection.add({
      ids: ["a"],
      embeddings: [[1]],
      metadatas: [JSON.parse('{"s":"x","i":1,"f":1.5,"b":true,"__proto__":"y"}')],
    });
    const { schema } = await client.getCollection({ name: "keys" });
    expect(schema?.keys.s?.string?.stringInvertedIndex?.enabled).toBe(true);
    expect(schema?.keys.i?.intValue?.intInvertedIndex?.enabled).toBe(true);
    expect(schema?.keys.f?.floatValue?.floatInvertedIndex?.enabled).toBe(true);
    expect(schema?.keys.b?.boolean?.boolInvertedIndex?.enabled).toBe(true);
    expect(Object.keys(schema?.keys ?? {})).toContain("__proto__");
  });

  test("reports changes of the configuration, some of them in the schema only, as Chroma does", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const collection = await client.createCollection({ name: "changed", embeddingFunction: null });
    await collection.modify({ configuration: { hnsw: { batch_size: 9, num_threads: 3, ef_search: 7 } } });
    const found = await openClient(path).getCollection({ name: "changed" });
    const changes = { batch_size: 9, num_threads: 3, ef_search: 7, max_neighbors: 16 };
    for (const { configuration, schema } of [collection, found]) {
      expect(configuration.hnsw).toMatchObject({ ef_search: 7, max_neighbors: 16 });
      expect(configuration.hnsw).not.toHaveProperty("batch_size");
      expect(schema?.keys["#embedding"]?.floatList?.vectorIndex?.config.hnsw).toMatchObject(changes);
    }
    await found.add({ ids: ["a"], embeddings: [[1]] });
    expect((await found.query({ queryEmbeddings: [[1]] })).ids).toEqual([["a"]]);
  });

  test("refuses filters on indexes that are off", async () => {
    await using client = EphemeralClient();
    const schema = new Schema()
      .deleteIndex(new StringInvertedIndexConfig(), "html")
      .deleteIndex(new FtsIndexConfig(), "#document")
      .deleteIndex(new IntInvertedIndexConfig());
    const collection = await client.createCollection({ name: "off", embeddingFunction: null, schema });
    await collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [{ html: "x", title: "x", n: 1 }] });
    const message = "Cannot filter using metadata key 'html' with type 'Str' because indexing is disabled";
    await expect(collection.get({ where: { html: "x" } })).rejects.toThrow(message);
    await expect(collection.query({ queryEmbeddings: [[1]], where: { html: "x" } })).rejects.toThrow(message);
    await expect(collection.delete({ where: { html: "x" } })).rejects.toThrow(message);
    await expect(collection.get({ where: { n: 1 } })).rejects.toThrow("key 'n' with type 'Int'");
    await expect(collection.get({ whereDocument: { $contains: "x" } })).rejects.toThrow(
      "Cannot filter using full-text search because FTS indexing is disabled",
    );
    expect((await collection.get({ where: { title: "x" } })).ids).toEqual(["a"]);
  });

  test.each<[string, () => Schema, string]>([
    [
      "sparse",
      () => new Schema().createIndex(new SparseVectorIndexConfig(), "k"),
      "Sparse vector indexing is not enabled in local",
    ],
    ["cmek", () => new Schema().setCmek(Cmek.gcp("x")), "Customer-managed encryption keys are not supported in local"],
  ])("refuses what is not offered: %s", async (_name, schema, message) => {
    await using client = EphemeralClient();
    await expect(
      client.createCollection({ name: "refused", embeddingFunction: null, schema: schema() }),
    ).rejects.toThrow(message);
    expect(await client.countCollections()).toBe(0);
  });

  test("and a configuration exclude one another", async () => {
    await using client = EphemeralClient();
    await expect(
      client.createCollection({
        name: "both",
        embeddingFunction: null,
        schema: new Schema().createIndex(new VectorIndexConfig({ space: "ip" })),
        configuration: { hnsw: { space: "cosine" } },
      }),
    ).rejects.toThrow("Cannot set both collection config and schema simultaneously");
  });
});

test("JSON without configurations is read", async () => {
  const index = { enabled: 1 };
  const json = {
    defaults: {
      float_list: { vector_index: {} },
      sparse_vector: { sparse_vector_index: {} },
      int: { int_inverted_index: index },
    },
    keys: { k: { string: { string_inverted_index: {} } } },
  };
  const schema = await Schema.deserializeFromJSON(json as never);
  expect(schema?.defaults.floatList?.vectorIndex).toMatchObject({ enabled: false, config: { space: null } });
  expect(schema?.defaults.sparseVector?.sparseVectorIndex).toMatchObject({ enabled: false, config: { bm25: null } });
  expect(schema?.defaults.intValue?.intInvertedIndex?.enabled).toBe(true);
  expect(schema?.keys.k?.string?.stringInvertedIndex?.enabled).toBe(false);
});

test("unknown SPANN parameters of a schema are refused, known ones ignored", async () => {
  await using client = EphemeralClient();
  const schemaOf = (spann: Record<string, number | string>): Schema =>
    new Schema().createIndex(new VectorIndexConfig({ space: "ip", spann }));
  await expect(
    client.createCollection({ name: "refused", embeddingFunction: null, schema: schemaOf({ nprobe: 1 }) }),
  ).rejects.toThrow("schema.spann: unknown field `nprobe`");
  const known = { search_nprobe: 8, search_rng_factor: 1.5, quantize: "none" };
  const collection = await client.createCollection({ name: "taken", embeddingFunction: null, schema: schemaOf(known) });
  expect(collection.configuration).toMatchObject({ hnsw: { space: "ip" }, spann: null });
});
