import { expect, test } from "vitest";
import { Packer, packQueries, unpackEmbeddings } from "../src/embeddings.js";

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
])("%s become one row-major array", (_name, embeddings, dimension) => {
  const packed = packQueries(embeddings, dimension, context);
  expect(packed.dimension).toBe(2);
  expect([...packed.memory.vectors]).toEqual([1, 2, 3, 4]);
});

test("a flat array to be stored is not copied, unless another thread may write to it", () => {
  const own = new Float32Array([1, 2]);
  expect(new Packer(own, 2, context).pack(0, 1)).toBe(own);
  const shared = new Float32Array(new SharedArrayBuffer(8));
  expect(new Packer(shared, 2, context).pack(0, 1)).not.toBe(shared);
});

test("queries are always copied", () => {
  const own = new Float32Array([1, 2]);
  expect(packQueries(own, 2, context).memory.vectors).not.toBe(own);
  expect(packQueries([own], undefined, context).memory.vectors.buffer).not.toBe(own.buffer);
});

test("slices are packed by themselves, into the same memory", () => {
  const lists = [
    [1, 2],
    [3, 4],
    [5, 6],
  ];
  for (const source of [lists, lists.map((list) => Float32Array.from(list)), Float32Array.from(lists.flat())]) {
    const packer = new Packer(source, 2, context);
    expect(packer.rows).toBe(3);
    expect([...packer.pack(0, 2)]).toEqual([1, 2, 3, 4]);
    expect([...packer.pack(2, 3)]).toEqual([5, 6]);
  }
});

test("a row is named where it is not finite or of another dimension", () => {
  for (const source of [
    [[1], [2], [Number.NaN]],
    [1, 2, Number.NaN].map((value) => Float32Array.of(value)),
    Float32Array.of(1, 2, Number.NaN),
  ]) {
    const packer = new Packer(source, 1, context);
    packer.pack(0, 2);
    expect(() => packer.pack(2, 3)).toThrow(/position 0 of row 2, but got NaN/);
  }
  expect(() => new Packer([[1], [2, 3]], undefined, context).pack(1, 2)).toThrow(/Inconsistent dimensions/);
});

test("packed rows are read back", () => {
  expect(unpackEmbeddings(new Float64Array([0.1, 2, 3, 4]), 2)).toEqual([
    [0.1, 2],
    [3, 4],
  ]);
  expect(unpackEmbeddings(new Float64Array(), 0)).toEqual([]);
});
