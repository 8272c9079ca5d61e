import { expect, onTestFinished, test } from "vitest";
import { EphemeralClient } from "../index.js";

const ROWS = 6_000;
const vector = (seed: number): number[] => Array.from({ length: 8 }, (_, i) => Math.sin(seed * (i + 1) * 1.7));

test("explain tells the plan of each part and what it compared", async () => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const collection = await client.createCollection({ name: "explained", embeddingFunction: null });
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  await collection.add({
    ids: rows.map(String),
    embeddings: rows.map(vector),
    metadatas: rows.map((i) => ({ tenth: i % 10 === 0 })),
  });
  await collection.compact();

  const queryEmbeddings = [vector(5.5)];
  const plain = await collection.explain({ queryEmbeddings, nResults: 5, searchParams: { ef: 40 } });
  expect(plain.ef).toBe(40);
  const walked = plain.parts[0];
  expect(plain.parts).toHaveLength(1);
  expect(walked).toMatchObject({ kind: "segment", rows: ROWS, tombstones: 0, allowed: ROWS, plan: "walk", hits: 5 });
  expect(walked?.id).toMatch(/^[0-9a-f-]{36}$/);
  expect(walked?.scored).toBeGreaterThan(40);
  expect(walked?.scored).toBeLessThan(ROWS);
  expect(walked?.rescored).toBeGreaterThanOrEqual(5);

  await collection.upsert({ ids: ["0", "new"], embeddings: [vector(0), vector(-1)] });
  const [segment, head] = (await collection.explain({ queryEmbeddings })).parts;
  expect(segment).toMatchObject({ rows: ROWS, tombstones: 1, allowed: ROWS - 1, hits: 10 });
  expect(head).toMatchObject({ kind: "head", id: null, rows: 2, plan: "exact", hits: 2, rescored: 2 });

  const filtered = { queryEmbeddings, where: { tenth: true } };
  const first = (await collection.explain(filtered)).parts[0];
  expect(first).toMatchObject({ plan: "scan", allowed: ROWS / 10 - 1, filterRemembered: false, hits: 10 });
  expect((await collection.explain(filtered)).parts[0]).toMatchObject({ filterRemembered: true });
  const exact = await collection.explain({ ...filtered, searchParams: { exact: true } });
  expect(exact.parts[0]).toMatchObject({ plan: "exact", rescored: ROWS / 10 - 1 });
  const none = await collection.explain({ queryEmbeddings, where: { tenth: "absent" } });
  expect(none.parts.map(({ plan, allowed, hits }) => [plan, allowed, hits])).toEqual([
    ["none", 0, 0],
    ["none", 0, 0],
  ]);
});

test("explain refuses what query refuses", async () => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const collection = await client.createCollection({ name: "refused", embeddingFunction: null });
  await collection.add({ ids: ["a"], embeddings: [[1, 2]] });
  await expect(collection.explain({ queryEmbeddings: [[1]] })).rejects.toThrow(/dimension/);
});
