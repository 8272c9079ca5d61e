import { describe, expect, onTestFinished, test } from "vitest";
import {
  ChromaClientError,
  type Collection,
  EphemeralClient,
  PersistentClient,
  Schema,
  type Space,
  VectorIndexConfig,
} from "../index.js";
import { temporaryFolder } from "./support/folder.js";

/** The spaces that are not Chroma's, with the distances of two records from one query. */
const SPACES: [Space, number, number][] = [
  ["l1", 2, 4],
  ["hamming", 0.25, 0.75],
  ["jaccard", 0.5, 0.8],
  ["hellinger", Math.sqrt(1 - (Math.sqrt(0.125) + Math.sqrt(0.375))), Math.sqrt(1 - Math.sqrt(0.375))],
  ["jensen-shannon", 0.183908, 0.52203],
];
const RECORDS = {
  ids: ["near", "far"],
  embeddings: [
    [1, 0, 1, 0],
    [0, 0, 1, 1],
  ],
};
const QUERY = [1, 0, 3, 0];

const make = async (space: Space): Promise<Collection> => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  return client.createCollection({ name: "records", embeddingFunction: null, configuration: { hnsw: { space } } });
};

describe.each(SPACES)("space %s", (space, near, far) => {
  test("gives its distances, now and after a reopening", async () => {
    const folder = temporaryFolder();
    const client = new PersistentClient({ path: folder });
    const created = await client.createCollection({
      name: "records",
      embeddingFunction: null,
      configuration: { hnsw: { space } },
    });
    expect(created.configuration.hnsw?.space).toBe(space);
    await created.add(RECORDS);
    const check = async (collection: Collection): Promise<void> => {
      const { ids, distances } = await collection.query({ queryEmbeddings: [QUERY] });
      expect(ids).toEqual([["near", "far"]]);
      expect(distances[0]?.[0]).toBeCloseTo(near, 4);
      expect(distances[0]?.[1]).toBeCloseTo(far, 4);
    };
    await check(created);
    await created.compact();
    await check(created);
    await client.close();

    const again = new PersistentClient({ path: folder });
    onTestFinished(() => again.close());
    const collection = await again.getCollection({ name: "records" });
    expect(collection.configuration.hnsw?.space).toBe(space);
    await check(collection);
  });

  test("is taken from collection metadata and from a schema", async () => {
    const client = EphemeralClient();
    onTestFinished(() => client.close());
    const metadata = { "hnsw:space": space };
    const legacy = await client.createCollection({ name: "legacy", embeddingFunction: null, metadata });
    expect(legacy.configuration.hnsw?.space).toBe(space);
    const schema = new Schema().createIndex(new VectorIndexConfig({ space }));
    const described = await client.createCollection({ name: "described", schema, embeddingFunction: null });
    expect(described.configuration.hnsw?.space).toBe(space);
  });
});

describe.each(["jaccard", "hellinger", "jensen-shannon"] as const)("space %s", (space) => {
  test("refuses negative components before anything changes", async () => {
    const collection = await make(space);
    await collection.add(RECORDS);
    const negative = { ids: ["fine", "bad"], embeddings: [QUERY, [1, -0.5, 0, 0]] };
    for (const write of [collection.add, collection.upsert]) {
      const outcome = expect(write.call(collection, negative)).rejects;
      await outcome.toThrow(`Space \`${space}\` compares vectors without negative components`);
      await outcome.toThrow("component 1 of the embedding of `bad` is -0.5");
      await outcome.toThrow(ChromaClientError);
    }
    await expect(collection.update({ ids: ["near"], embeddings: [[-1, 0, 0, 0]] })).rejects.toThrow("negative");
    expect(await collection.count()).toBe(2);
    expect((await collection.get({ ids: ["near"], include: ["embeddings"] })).embeddings).toEqual([[1, 0, 1, 0]]);
    await expect(collection.query({ queryEmbeddings: [QUERY, [0, 0, 0, -2]] })).rejects.toThrow(
      "component 3 of query embedding 1 is -2",
    );
  });
});

test("a space without codes refuses a quantization", async () => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const configuration = { hnsw: { space: "l1", quantization: "int4" } } as const;
  await expect(client.createCollection({ name: "coded", embeddingFunction: null, configuration })).rejects.toThrow(
    "quantization `int4` needs space `l2`, `cosine` or `ip`",
  );
});

test("filters, deletes and a compacted graph of a space without codes find what is there", async () => {
  const collection = await make("hamming");
  const bits = (seed: number): number[] =>
    Array.from({ length: 32 }, (_, i) => (Math.imul(seed, 2654435761) >>> i) & 1);
  const count = 5_100;
  const ids = Array.from({ length: count }, (_, i) => String(i));
  await collection.add({
    ids,
    embeddings: ids.map((id) => bits(Number(id))),
    metadatas: ids.map((id) => ({ odd: Number(id) % 2 })),
  });
  await collection.compact();
  const queryEmbeddings = [bits(1_001)];
  const found = async (): Promise<string | undefined> =>
    (await collection.query({ queryEmbeddings, nResults: 3 })).ids[0]?.[0];
  expect(await found()).toBe("1001");
  const odd = await collection.query({ queryEmbeddings, nResults: 50, where: { odd: 0 } });
  expect(odd.ids[0]).toHaveLength(50);
  expect(odd.ids[0]?.every((id) => Number(id) % 2 === 0)).toBe(true);
  const exact = await collection.query({
    queryEmbeddings,
    nResults: 50,
    where: { odd: 0 },
    searchParams: { exact: true },
  });
  expect(odd.distances[0]?.[0]).toBe(exact.distances[0]?.[0]);
  await collection.delete({ ids: ["1001"] });
  expect(await found()).not.toBe("1001");
  await collection.compact();
  expect(await found()).not.toBe("1001");
  expect(await collection.count()).toBe(count - 1);
});
