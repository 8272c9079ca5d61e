import { expect, onTestFinished, test, vi } from "vitest";
import { type Collection, EphemeralClient, type QueryArgs } from "../index.js";

const ROWS = 500;

/** Of so many components that the distances of some answers fit in their place, and those of others do not. */
const DIMENSION = 17;
const padded = (values: number[]): number[] => [...values, ...new Array(DIMENSION - values.length).fill(0)];
const vector = (seed: number): number[] => padded([Math.sin(seed), Math.cos(3 * seed), Math.sin(7 * seed)]);

const filled = async (): Promise<Collection> => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const collection = await client.createCollection({ name: "numbers", embeddingFunction: null });
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  await collection.add({
    ids: rows.map((i) => (i % 50 === 7 ? `line\n${i}` : `id${i}`)),
    embeddings: rows.map(vector),
    documents: rows.map((i) => `number ${i}`),
    metadatas: rows.map((i) => ({ even: i % 2 === 0 })),
  });
  return collection;
};

const questions = (i: number): QueryArgs => {
  const base = { queryEmbeddings: [vector(i + 0.4)], nResults: 1 + (i % 12) };
  if (i % 5 === 1) return { ...base, where: { even: true } };
  if (i % 5 === 2) return { ...base, include: ["embeddings", "documents"] };
  if (i % 5 === 3) return { ...base, queryEmbeddings: [vector(i), vector(i + 1), vector(i + 2)] };
  if (i % 5 === 4) return { ...base, searchParams: { exact: true }, include: [] };
  return base;
};

test("queries in flight are answered as one after another", async () => {
  const collection = await filled();
  const together = await Promise.all(Array.from({ length: 60 }, (_, i) => collection.query(questions(i))));
  for (const [i, answer] of together.entries()) expect(answer).toEqual(await collection.query(questions(i)));
});

test("wave after wave, alone and together, of changing lengths, each query is answered for its own vectors", async () => {
  const collection = await filled();
  const expected = await Promise.all(Array.from({ length: 20 }, (_, i) => collection.query(questions(i))));
  for (let wave = 0; wave < 40; wave++) {
    const asked = Array.from({ length: 1 + ((wave * 7) % 19) }, (_, i) => (wave * 3 + i) % 20);
    const answers = await Promise.all(asked.map((i) => collection.query(questions(i))));
    expect(answers).toEqual(asked.map((i) => expected[i]));
  }
});

test.each([3, 5, 16, 37])("%d loops that ask again as soon as they are answered", async (loops) => {
  const collection = await filled();
  const expected = await Promise.all(Array.from({ length: 20 }, (_, i) => collection.query(questions(i))));
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < 600) {
      const i = next++ % 20;
      if (next % 9 === 0) await expect(collection.query({ queryEmbeddings: [[1, 2]] })).rejects.toThrow(/dimension/);
      expect(await collection.query(questions(i))).toEqual(expected[i]);
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
});

test("many queries of one call have the distances that each has alone", async () => {
  const collection = await filled();
  const near = Array.from({ length: 60 }, (_, i) => vector(i + 0.3));
  // Too far for a distance of 32 bits.
  const far = padded([3e38, 3e38, 3e38]);
  for (const queryEmbeddings of [near, [...near, far]]) {
    const { ids, distances } = await collection.query({ queryEmbeddings, nResults: 7 });
    expect(distances.flat().includes(null)).toBe(queryEmbeddings !== near);
    for (const [i, query] of queryEmbeddings.entries()) {
      const alone = await collection.query({ queryEmbeddings: [query], nResults: 7 });
      expect([ids[i], distances[i]]).toEqual([alone.ids[0], alone.distances[0]]);
    }
  }
});

test("ids with line breaks come back whole", async () => {
  const collection = await filled();
  const { ids } = await collection.query({ queryEmbeddings: [vector(7), vector(8)], nResults: 1 });
  expect(ids).toEqual([["line\n7"], ["id8"]]);
});

test("a query that fails leaves its neighbours alone", async () => {
  const collection = await filled();
  const good = (): Promise<unknown> => collection.query({ queryEmbeddings: [vector(1)], nResults: 1, include: [] });
  const bad = (): Promise<unknown> => collection.query({ queryEmbeddings: [[1, 2]] });
  const outcomes = await Promise.allSettled([good(), bad(), good(), bad(), bad()]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected", "rejected"]);
  await expect(bad()).rejects.toThrow(/dimension/);
  expect((outcomes[1] as PromiseRejectedResult).reason.message).toMatch(/dimension/);
});

test("of many queries, those that fail do so in their own places, begun early or late", async () => {
  const collection = await filled();
  const query = (i: number): Promise<unknown> =>
    collection.query({ queryEmbeddings: [i % 3 === 1 ? [1, 2] : vector(i)], nResults: 1 + (i % 4) });
  for (const count of [2, 4, 5, 12, 13, 40]) {
    const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, i) => query(i)));
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === "rejected")
        expect([i % 3, String(outcome.reason)]).toEqual([1, expect.stringMatching(/dimension/)]);
      else expect(outcome.value).toEqual(await query(i));
    }
  }
});

test("several collections of one database may be asked at once", async () => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const collections = await Promise.all(
    ["red", "blue"].map((name) => client.createCollection({ name, embeddingFunction: null })),
  );
  for (const collection of collections) await collection.add({ ids: [collection.name], embeddings: [[1, 2]] });
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) => collections[i % 2]?.query({ queryEmbeddings: [[1, 2]], nResults: 1 })),
  );
  expect(answers.map((answer) => answer?.ids[0]?.[0])).toEqual(Array(4).fill(["red", "blue"]).flat());
});

test("requests with thousands of ids are answered like others", async () => {
  const collection = await filled();
  const ids = Array.from({ length: 5_000 }, (_, i) => `id${i}`);
  const known = (await collection.get({ include: [] })).ids.slice(0, 200);
  const ask = (own: string[]): Promise<{ ids: string[][] }> =>
    collection.query({ queryEmbeddings: [vector(1)], ids: own, where: { even: true }, nResults: 3 });
  const [long, short, again] = await Promise.all([ask(ids), ask(known), ask(ids)]);
  expect(long.ids[0]).toHaveLength(3);
  expect(again).toEqual(long);
  expect(short.ids[0]).toHaveLength(3);
  await expect(collection.query({ queryEmbeddings: [[1]], ids })).rejects.toThrow(/dimension/);
});

test("vectors count as they were when query was called", async () => {
  const collection = await filled();
  const reused = new Float32Array(DIMENSION);
  const answers = [3, 11, 20].map((i) => {
    reused.set(vector(i));
    return collection.query({ queryEmbeddings: reused, dimension: DIMENSION, nResults: 1 });
  });
  expect((await Promise.all(answers)).map(({ ids }) => ids[0]?.[0])).toEqual(["id3", "id11", "id20"]);
});

test("a query that was asked before close is answered", async () => {
  const client = EphemeralClient();
  const collection = await client.createCollection({ name: "last", embeddingFunction: null });
  await collection.add({ ids: ["a"], embeddings: [[1]] });
  const answers = [1, 2, 3].map(() => collection.query({ queryEmbeddings: [[1]] }));
  await client.close();
  for (const { ids } of await Promise.all(answers)) expect(ids).toEqual([["a"]]);
});

test("all of many queries that were asked before close are answered", async () => {
  const client = EphemeralClient();
  const collection = await client.createCollection({ name: "last", embeddingFunction: null });
  await collection.add({ ids: ["a"], embeddings: [[1]] });
  const answers = Array.from({ length: 30 }, () => collection.query({ queryEmbeddings: [[1]] }));
  await answers[0];
  await client.close();
  for (const { ids } of await Promise.all(answers)) expect(ids).toEqual([["a"]]);
});

test("queries are answered where a test stops the clock", async () => {
  const collection = await filled();
  const expected = await collection.query(questions(0));
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  for (const answer of await Promise.all(Array.from({ length: 40 }, () => collection.query(questions(0)))))
    expect(answer).toEqual(expected);
});

test("a program that only awaits queries still lets timers run", async () => {
  const collection = await filled();
  let fired = false;
  setTimeout(() => {
    fired = true;
  }, 1);
  // Ends by the timer alone: without turns of the event loop this would never be over.
  while (!fired) await collection.query({ queryEmbeddings: [vector(1)] });
});
