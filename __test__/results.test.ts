import { expect, test } from "vitest";
import { GetResult, QueryResult } from "../index.js";

test("rows of a get have all keys, undefined where a column was not included", () => {
  const result = new GetResult<{ n: number }>({
    ids: ["a", "b"],
    documents: ["x", null],
    embeddings: [],
    metadatas: [{ n: 1 }, null],
    uris: [],
    include: ["documents", "metadatas"],
  });
  const rows = result.rows();
  expect(rows).toStrictEqual([
    { id: "a", document: "x", embedding: undefined, metadata: { n: 1 }, uri: undefined },
    { id: "b", document: null, embedding: undefined, metadata: null, uri: undefined },
  ]);
  expect(result.embeddings).toEqual([]);
});

test("rows of a query are nested per query", () => {
  const result = new QueryResult({
    ids: [["a"], [], ["b"]],
    distances: [[0.5], [], [1]],
    documents: [],
    embeddings: [[[1, 2]], [], [[3, 4]]],
    metadatas: [],
    uris: [],
    include: ["distances", "embeddings"],
  });
  expect(result.rows()).toStrictEqual([
    [{ id: "a", document: undefined, embedding: [1, 2], metadata: undefined, uri: undefined, distance: 0.5 }],
    [],
    [{ id: "b", document: undefined, embedding: [3, 4], metadata: undefined, uri: undefined, distance: 1 }],
  ]);
});
