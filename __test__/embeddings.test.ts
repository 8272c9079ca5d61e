import { expect, test } from "vitest";
import { packEmbeddings, packQueries, unpackEmbeddings } from "../src/embeddings.js";

const context = { route: "route", rowName: (row: number) => `row ${row}` };

test.each([
  [
    "arrays",
    [
      [1, 2],
      [3, 4],
    ],
    undefined,
  ],
  ["Float32Arrays", [new Float32Array([1, 2]), new Float32Array([3, 4])], undefined],
  ["a flat array", new Float32Array([1, 2, 3, 4]), 2],
])("%s become one row-major array", async (_name, embeddings, dimension) => {
  const packed = await packEmbeddings(embeddings, dimension, context);
  expect(packed.dimension).toBe(2);
  expect([...packed.vectors]).toEqual([1, 2, 3, 4]);
});

test("a flat array to be stored is not copied, unless another thread may write to it", async () => {
  const own = new Float32Array([1, 2]);
  expect((await packEmbeddings(own, 2, context)).vectors).toBe(own);
  const shared = new Float32Array(new SharedArrayBuffer(8));
  expect((await packEmbeddings(shared, 2, context)).vectors).not.toBe(shared);
});

test("queries are always copied", () => {
  const own = new Float32Array([1, 2]);
  expect(packQueries(own, 2, context).vectors).not.toBe(own);
  expect(packQueries([own], undefined, context).vectors.buffer).not.toBe(own.buffer);
});

test("a large batch lets the event loop turn", async () => {
  const rows = Array.from({ length: 20_000 }, () => Array.from({ length: 384 }, (_, i) => i / 7));
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  const started = performance.now();
  await packEmbeddings(rows, undefined, context);
  const total = performance.now() - started;
  clearInterval(timer);
  expect(longest).toBeGreaterThan(0);
  expect(longest).toBeLessThan(Math.max(total * 0.8, 60));
});

test("packed rows are read back", () => {
  expect(unpackEmbeddings(new Float64Array([0.1, 2, 3, 4]), 2)).toEqual([
    [0.1, 2],
    [3, 4],
  ]);
  expect(unpackEmbeddings(new Float64Array(), 0)).toEqual([]);
});
