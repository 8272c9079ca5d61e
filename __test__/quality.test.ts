import { describe, expect, test } from "vitest";
import { type Collection, EphemeralClient, type HNSWConfiguration } from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

const ROWS = 6_000;
const DIMENSION = 32;
const QUERIES = 60;

/** Seeded numbers of a normal distribution. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 1) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const vectors = (count: number, component: (row: number, i: number) => number): Float32Array =>
  Float32Array.from({ length: count * DIMENSION }, (_, at) => component(Math.floor(at / DIMENSION), at % DIMENSION));

/** Groups of nine rows that hardly differ; the last rows, which are the queries, belong to none. */
function nearDuplicates(): Float32Array {
  const normal = normals(7);
  const centres = vectors(Math.ceil(ROWS / 9), normal);
  const member = (row: number, i: number) => (centres[Math.floor(row / 9) * DIMENSION + i] ?? 0) + 0.03 * normal();
  return vectors(ROWS + QUERIES, (row, i) => (row < ROWS ? member(row, i) : normal()));
}

/** Directions without structure, lengths from very short to very long. */
function unequalLengths(): Float32Array {
  const normal = normals(9);
  const lengths = Array.from({ length: ROWS + QUERIES }, () => Math.exp(1.2 * normal()));
  return vectors(ROWS + QUERIES, (row) => (lengths[row] ?? 0) * normal());
}

async function filled(hnsw: HNSWConfiguration, rows: Float32Array): Promise<Collection> {
  const client = openClient(temporaryPath());
  const collection = await client.createCollection({
    name: "recall",
    embeddingFunction: null,
    configuration: { hnsw },
  });
  const ids = Array.from({ length: ROWS }, (_, row) => `${row}`);
  await collection.add({ ids, embeddings: rows, dimension: DIMENSION });
  await collection.compact();
  return collection;
}

async function recallOf(collection: Collection, queries: Float32Array, ef?: number): Promise<number> {
  const nearest = async (searchParams: { ef?: number; exact?: boolean }) => {
    const request = { queryEmbeddings: queries, dimension: DIMENSION, include: ["distances" as const], searchParams };
    return (await collection.query(request)).distances;
  };
  const [found, exact] = [await nearest(ef === undefined ? {} : { ef }), await nearest({ exact: true })];
  const hits = exact.flatMap((distances, query) => {
    const farthest = distances.at(-1) ?? Number.NaN;
    return found[query]?.filter((distance) => distance !== null && distance <= (farthest ?? 0)) ?? [];
  });
  return hits.length / exact.flat().length;
}

describe("recall@10 at default settings, and with ef 400", () => {
  test.each([
    ["near-duplicates, l2", "l2", nearDuplicates],
    ["near-duplicates, cosine", "cosine", nearDuplicates],
    ["unequal lengths, ip", "ip", unequalLengths],
    ["unequal lengths, l2", "l2", unequalLengths],
  ] as const)("%s", { timeout: 60_000 }, async (_name, space, make) => {
    const all = make();
    const [rows, queries] = [all.slice(0, ROWS * DIMENSION), all.slice(ROWS * DIMENSION)];
    const collection = await filled({ space }, rows);
    expect(await recallOf(collection, queries)).toBeGreaterThanOrEqual(0.95);
    expect(await recallOf(collection, queries, 400)).toBeGreaterThanOrEqual(0.99);
  });
});

describe("the quantization of a collection", () => {
  test("is told where it was set, and may change", { timeout: 60_000 }, async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const plain = await client.createCollection({ name: "plain", embeddingFunction: null });
    expect(plain.configuration.hnsw).not.toHaveProperty("quantization");
    const configuration = { hnsw: { quantization: "int8" as const } };
    const collection = await client.createCollection({ name: "coded", embeddingFunction: null, configuration });
    const all = unequalLengths();
    const ids = Array.from({ length: ROWS }, (_, row) => `${row}`);
    await collection.add({ ids, embeddings: all.slice(0, ROWS * DIMENSION), dimension: DIMENSION });
    await collection.compact();
    await collection.modify({ configuration: { hnsw: { quantization: "none" } } });
    await collection.compact();
    const again = await client.getCollection({ name: "coded" });
    expect(again.configuration.hnsw).toMatchObject({ space: "l2", quantization: "none" });
    expect(again.schema?.keys["#embedding"]?.floatList?.vectorIndex?.config.hnsw).toMatchObject({
      quantization: "none",
    });
    expect(await recallOf(again, all.slice(ROWS * DIMENSION), 400)).toBeGreaterThanOrEqual(0.99);
  });

  test("must be known", async () => {
    await using client = EphemeralClient();
    const configuration = { hnsw: { quantization: "int2" as never } };
    await expect(client.createCollection({ name: "unknown", embeddingFunction: null, configuration })).rejects.toThrow(
      'configuration.hnsw.quantization: expected one of auto, int4, int8, none, but got "int2"',
    );
  });
});
