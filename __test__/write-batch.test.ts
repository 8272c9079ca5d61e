import { expect, onTestFinished, test } from "vitest";
import { type Collection, EphemeralClient } from "../index.js";
import { Backlog } from "../src/backlog.js";
import { inSlices } from "../src/event-loop.js";
import { stageBatch } from "../src/write-batch.js";

const context = { route: "route", rowName: (row: number) => `row ${row}` };

const make = async (): Promise<Collection> => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  return client.createCollection({ name: "records", embeddingFunction: null });
};

/** Counts turns of the event loop; the function returned says how many there were. */
const countTurns = (): (() => number) => {
  let turns = 0;
  const turn = (): void => {
    turns++;
    pending = setImmediate(turn);
  };
  let pending = setImmediate(turn);
  return () => {
    clearImmediate(pending);
    return turns;
  };
};

const numbered = (rows: number): string[] => Array.from({ length: rows }, (_, row) => `id ${row}`);

test("slices cover all rows once, wherever work stops, and let the event loop turn", async () => {
  const turns = countTurns();
  const slices: [number, number][] = [];
  await inSlices(1_000, (from, to) => {
    const end = Math.min(to, from + 100);
    slices.push([from, end]);
    const until = performance.now() + 5;
    while (performance.now() < until);
    return end;
  });
  expect(turns()).toBeGreaterThanOrEqual(4);
  expect(slices).toEqual(Array.from({ length: 10 }, (_, i) => [i * 100, (i + 1) * 100]));
});

test("staging a large batch lets the event loop turn", async () => {
  const embeddings = Array.from({ length: 20_000 }, () => Array.from({ length: 384 }, (_, i) => i / 7));
  const turns = countTurns();
  const { bytes } = await stageBatch({ ids: numbered(20_000), embeddings }, undefined, context);
  expect(turns()).toBeGreaterThanOrEqual(2);
  expect(bytes).toBeGreaterThan(20_000 * 384 * 4);
});

test("a batch of many slices arrives whole and in order", async () => {
  const collection = await make();
  const ids = numbered(3_000);
  // Some documents are so large that slices have a few rows only.
  const documents = ids.map((id, row) => (row % 500 === 0 ? id.repeat(200_000) : `document of ${id}`));
  const metadatas = ids.map((_, row) => (row % 3 === 0 ? null : { row, absent: null }));
  const embeddings = Float32Array.from({ length: 2 * ids.length }, (_, i) => i);
  await collection.add({ ids, documents, metadatas, embeddings, dimension: 2 });
  const found = await collection.get({ include: ["documents", "metadatas", "embeddings"] });
  expect(found.ids).toEqual(ids);
  expect(found.documents).toEqual(documents);
  expect(found.metadatas).toEqual(ids.map((_, row) => (row % 3 === 0 ? null : { row })));
  expect(found.embeddings).toEqual(ids.map((_, row) => [2 * row, 2 * row + 1]));
});

test("a batch whose last record is bad leaves nothing", async () => {
  const collection = await make();
  const ids = numbered(5_000);
  const embeddings = ids.map((_, row) => [row, row === 4_999 ? Number.NaN : 1]);
  await expect(collection.add({ ids, embeddings })).rejects.toThrow(/'id 4999' \(index 4999\)/);
  expect(await collection.count()).toBe(0);
});

test("writes that nobody awaits are applied in their order, however many bytes they have", async () => {
  const collection = await make();
  const rows = 1_000;
  const dimension = 4_000;
  // 16 MB each: more than may wait in native memory together.
  const writes = Array.from({ length: 8 }, (_, round) =>
    collection.upsert({
      ids: numbered(rows),
      embeddings: new Float32Array(rows * dimension).fill(round),
      dimension,
      metadatas: Array.from({ length: rows }, () => ({ round })),
    }),
  );
  const deleted = collection.delete({ where: { round: 7 }, limit: 1 });
  await Promise.all(writes);
  expect(await deleted).toEqual({ deleted: 1 });
  expect(await collection.count()).toBe(rows - 1);
  expect((await collection.get({ where: { round: 7 }, include: [] })).ids).toHaveLength(rows - 1);
});

test("a backlog makes writes wait while it is full, whether the others succeed or fail", async () => {
  const backlog = new Backlog();
  let finish = (): void => {};
  let fail = (_error: Error): void => {};
  const large = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const failing = new Promise<void>((_, reject) => {
    fail = reject;
  });
  const order: string[] = [];
  await backlog.room();
  const first = backlog.during(1 << 30, large).then(() => order.push("first"));
  const second = backlog.during(1 << 30, failing).catch(() => order.push("second"));
  const waiting = [1, 2].map((n) => backlog.room().then(() => order.push(`room ${n}`)));
  finish();
  await first;
  await new Promise(setImmediate);
  expect(order).toEqual(["first"]);
  fail(new Error("full disk"));
  await Promise.all([second, ...waiting]);
  expect(order.slice(1).toSorted()).toEqual(["room 1", "room 2", "second"]);
  await backlog.room();
});
