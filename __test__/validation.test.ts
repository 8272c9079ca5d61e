import { describe, expect, test } from "vitest";
import { type Collection, EphemeralClient, type QueryArgs, type WriteArgs } from "../index.js";
import { lenientRules } from "../src/lenient.js";

// A handle that nothing stands behind: what reaches the database fails with another error than ChromaValueError.
const collection: Collection = EphemeralClient().collection("00000000-0000-4000-8000-000000000000");

const refuses = async (call: Promise<unknown>, message: string): Promise<void> => {
  await expect(call).rejects.toMatchObject({ name: "ChromaValueError", message });
};
const write = (args: object): Promise<void> => collection.add(args as WriteArgs);
const query = (args: object): Promise<unknown> => collection.query({ queryEmbeddings: [[1]], ...args } as QueryArgs);

describe("record sets", () => {
  const one = { ids: ["a"], embeddings: [[1, 2]] };

  test.each([
    [{ ids: [], embeddings: [] }, "Non-empty lists are required for ids, embeddings"],
    [{ ids: ["a", "b"], embeddings: [[1]] }, "Unequal lengths for fields ids, embeddings"],
    [{ ids: ["a"], embeddings: [[1]], documents: ["x", "y"] }, "Unequal lengths for fields ids, embeddings, documents"],
    [{ ids: "a", embeddings: [[1]] }, "Expected 'ids' to be an array, but got string"],
    [{ ids: [1, "b", null], embeddings: [[1], [1], [1]] }, "Found non-string IDs at 0, 2"],
    [{ ids: ["a", "a"], embeddings: [[1], [1]] }, "Expected IDs to be unique, but found duplicates of a"],
    [{ ids: ["", ""], embeddings: [[1], [1]] }, "Expected IDs to be unique, but found duplicates of "],
    [
      { ...one, embeddings: [[]] },
      "Expected each embedding to be a non-empty array of numbers, but got an empty array at index 0",
    ],
    [{ ...one, embeddings: [null] }, "Expected each embedding to be an array of numbers, but got null at index 0"],
    [{ ...one, documents: [null] }, "Expected each document to be a string, but got object"],
    [{ ...one, documents: [7] }, "Expected each document to be a string, but got number"],
    [{ ...one, uris: [7] }, "Expected each uri to be a string, but got number"],
    [{ ...one, metadatas: [{}] }, "Expected metadata to be non-empty"],
    [{ ...one, metadatas: ["x"] }, "Expected metadata to be an object, but got string"],
    [{ ...one, metadatas: [{ k: [] }] }, "Expected metadata list value for key 'k' to be non-empty"],
    [
      { ...one, metadatas: [{ k: [{}] }] },
      "Expected metadata list value for key 'k' to contain only strings, numbers, or booleans, got object",
    ],
    [
      { ...one, metadatas: [{ k: [1, "x"] }] },
      "Expected metadata list value for key 'k' to contain only the same type, got mixed types",
    ],
    [
      { ...one, metadatas: [{ k: Number.NaN }] },
      "Expected metadata value for key 'k' to be a finite number, but got NaN",
    ],
    [
      { ...one, metadatas: [{ k: [1, Infinity] }] },
      "Expected metadata value for key 'k' to be a finite number, but got Infinity",
    ],
  ])("%j", async (args, message) => refuses(write(args), message));

  test.each([{ a: 1 }, () => 1, 1n, Symbol("s"), new Date()])(
    "metadata value of a wrong type, case %#",
    async (value) => {
      await refuses(
        write({ ...one, metadatas: [{ k: value }] }),
        "Expected metadata value for key 'k' to be a string, number, boolean, SparseVector, typed array (string[], number[], boolean[]), or null",
      );
    },
  );

  test("more than five duplicates are abbreviated", async () => {
    const ids = ["a", "b", "c", "d", "e", "f"];
    await refuses(
      write({ ids: [...ids, ...ids], embeddings: Array(12).fill([1]) }),
      "Expected IDs to be unique, but found duplicates of a, b, c, d, e, ..., b, c, d, e, f",
    );
  });

  test("more records than one call may have", async () => {
    const ids = Array.from({ length: 100_001 }, (_, i) => String(i));
    await refuses(
      write({ ids, embeddings: new Float32Array(ids.length), dimension: 1 }),
      "Record set length 100001 exceeds max batch size 100000",
    );
  });

  test("the first broken rule decides: lengths, ids, fields, values", async () => {
    const nan = [[Number.NaN]];
    await refuses(write({ ids: [1, 2], embeddings: nan }), "Unequal lengths for fields ids, embeddings");
    await refuses(write({ ids: [1], embeddings: nan, metadatas: [{}] }), "Found non-string IDs at 0");
    await refuses(
      write({ ids: ["a"], embeddings: nan, documents: [1], metadatas: [{}] }),
      "Expected each document to be a string, but got number",
    );
    await refuses(write({ ids: ["a"], embeddings: nan, metadatas: [{}] }), "Expected metadata to be non-empty");
  });

  test("vectors or documents must be there, except in an update", async () => {
    const client = EphemeralClient();
    const { LocalCollection } = await import("../src/local-collection.js");
    const full = new LocalCollection(client.handle, {
      client,
      json: { ...collection, metadata: null, configuration_json: {}, schema: null },
      rules: lenientRules(false),
    });
    await refuses(full.add({ ids: ["a"] }), "At least one of 'embeddings' and 'documents' must be provided");
    await refuses(full.upsert({ ids: ["a"] }), "At least one of 'embeddings' and 'documents' must be provided");
    await refuses(full.query({}), "At least one of 'queryEmbeddings' and 'queryTexts' must be provided");
    await refuses(
      full.add({ ids: ["a"], documents: ["x"] }),
      "No embedding function found for collection ''. You can either provide embeddings directly, or ensure the appropriate embedding function package (e.g. @chroma-core/default-embed) is installed.",
    );
  });
});

describe("vectors", () => {
  const place = (id: string, row: number, position: number, got: string): string =>
    `Embeddings must not contain NaN or Infinity values: expected a finite 32-bit float at position ${position} of the embedding of id '${id}' (index ${row}), but got ${got}`;

  test.each([
    [[[1, Number.NaN]], 1, "NaN"],
    [[[Infinity, 1]], 0, "Infinity"],
    [[[1, 1e39]], 1, "1e+39"],
    [[[1, "2"]], 1, "string"],
    [[[1, null]], 1, "object"],
    [[[1, 2n]], 1, "bigint"],
    [[new Float32Array([1, Number.NaN])], 1, "NaN"],
    [[new Float64Array([1, -Infinity])], 1, "-Infinity"],
  ])("not finite, case %#", async (embeddings, position, got) => {
    await refuses(write({ ids: ["x"], embeddings }), place("x", 0, position, got));
  });

  test("the record with a bad value is named", async () => {
    await refuses(write({ ids: ["x", "y"], embeddings: [[1], [Number.NaN]] }), place("y", 1, 0, "NaN"));
    await refuses(
      write({ ids: ["x", "y"], embeddings: new Float32Array([1, 2, 3, Number.NaN]), dimension: 2 }),
      place("y", 1, 1, "NaN"),
    );
  });

  test("different dimensions are refused with the server's message", async () => {
    await expect(write({ ids: ["x", "y"], embeddings: [[1], [1, 2]] })).rejects.toMatchObject({
      name: "ChromaClientError",
      message: expect.stringContaining("Inconsistent dimensions in provided embeddings"),
    });
  });

  test("a flat array needs a dimension that divides it", async () => {
    const flat = new Float32Array(6);
    await refuses(
      write({ ids: ["x"], embeddings: flat }),
      "Expected 'dimension' to be given with a flat Float32Array of embeddings",
    );
    await refuses(
      write({ ids: ["x"], embeddings: flat, dimension: 0 }),
      "Expected 'dimension' to be a positive integer, but got 0",
    );
    await refuses(
      write({ ids: ["x"], embeddings: flat, dimension: 4 }),
      "Expected the length of a flat Float32Array of embeddings to be a multiple of 'dimension' 4, but got 6",
    );
    await refuses(write({ ids: ["x"], embeddings: flat, dimension: 3 }), "Unequal lengths for fields ids, embeddings");
  });

  test("queries are checked too", async () => {
    await refuses(
      query({ queryEmbeddings: [[1, Number.NaN]] }),
      "Embeddings must not contain NaN or Infinity values: expected a finite 32-bit float at position 1 of query 0, but got NaN",
    );
  });
});

describe("reads", () => {
  test.each([
    [{ include: "documents" }, "Expected 'include' to be a non-empty array"],
    [{ include: [7] }, "Expected 'include' items to be strings"],
    [
      { include: ["nothing"] },
      "Expected 'include' items to be one of distances, documents, embeddings, metadatas, uris, but got nothing",
    ],
    [{ ids: [] }, "Expected 'ids' to be a non-empty list"],
    [{ nResults: "7" }, "Expected 'nResults' to be a number, but got string"],
    [{ nResults: -1 }, "Number of requested results has to positive"],
    [{ nResults: 1.5 }, "Expected 'nResults' to be an integer, but got 1.5"],
    [{ searchParams: { ef: 0 } }, "Expected 'searchParams.ef' to be a positive integer, but got 0"],
    [{ searchParams: { exact: 1 } }, "Expected 'searchParams.exact' to be a boolean, but got number"],
  ])("query %j", async (args, message) => refuses(query(args), message));

  test("get refuses distances and odd counts", async () => {
    await refuses(collection.get({ include: ["distances"] }), "distances is not allowed for this operation");
    await refuses(collection.get({ limit: -1 }), "Expected 'limit' to be a non-negative integer, but got -1");
    await refuses(
      collection.get({ offset: Number.NaN }),
      "Expected 'offset' to be a non-negative integer, but got NaN",
    );
  });

  test("delete checks its limit with plain errors", async () => {
    await expect(collection.delete({ where: { a: 1 }, limit: -1 })).rejects.toMatchObject({
      name: "Error",
      message: "limit must be a non-negative integer",
    });
    await expect(collection.delete({ ids: ["a"], limit: 1 })).rejects.toMatchObject({
      name: "Error",
      message: "limit can only be specified when a where or whereDocument clause is provided",
    });
  });
});

describe("where", () => {
  const deep = (depth: number): object => {
    let where: object = { a: 1 };
    for (let i = 0; i < depth; i++) where = { $and: [{ b: 1 }, where] };
    return where;
  };
  const cyclic: { $and: unknown[] } = { $and: [{ a: 1 }] };
  cyclic.$and.push(cyclic);

  test.each<[unknown, string]>([
    [7, "Expected where to be a non-empty object"],
    [{}, "Expected 'where' to have exactly one operator, but got 0"],
    [{ a: 1, b: 2 }, "Expected 'where' to have exactly one operator, but got 2"],
    [
      { $and: [{ a: 1 }] },
      "Expected 'where' value for $and or $or to be a list of 'where' expressions, but got a list of 1",
    ],
    [{ $or: "x" }, "Expected 'where' value for $and or $or to be a list of 'where' expressions, but got x"],
    [
      { a: undefined },
      "Expected 'where' value to be a string, number, boolean, or an operator expression, but got undefined",
    ],
    [{ a: null }, "Expected 'where' value to be a string, number, boolean, or an operator expression, but got null"],
    [{ a: { $gt: 1, $lt: 2 } }, "Expected operator expression to have one operator, but got an object"],
    [{ a: { $gt: "x" } }, "Expected operand value to be a number for $gt, but got string"],
    [{ a: { $in: "x" } }, "Expected operand value to be an array for $in, but got x"],
    [{ a: { $in: [] } }, "Expected 'where' operand value to be a non-empty list and all values to be of the same type"],
    [
      { a: { $nin: [1, "x"] } },
      "Expected 'where' operand value to be a non-empty list and all values to be of the same type",
    ],
    [
      { a: { $contains: ["x"] } },
      "Expected operand value to be a string, number, or boolean for $contains, but got object",
    ],
    [
      { a: { $like: "x" } },
      "Expected operator to be one of $gt, $gte, $lt, $lte, $ne, $eq, $in, $nin, $contains, $not_contains, but got $like",
    ],
    [{ a: { $eq: null } }, "Expected operand value to be a string, number, boolean, or a list of those types"],
    [{ a: { $eq: 1n } }, "Expected operand value to be a string, number, boolean, or a list of those types"],
    [{ a: Number.NaN }, "Expected operand value to be a finite number, but got NaN"],
    [{ a: { $gt: Infinity } }, "Expected operand value to be a finite number, but got Infinity"],
    [deep(65), "Expected 'where' to be nested at most 64 deep"],
    [deep(50_000), "Expected 'where' to be nested at most 64 deep"],
    [cyclic, "Expected 'where' to be nested at most 64 deep"],
  ])("case %#", async (where, message) => refuses(query({ where }), message));
});

describe("whereDocument", () => {
  test.each<[unknown, string]>([
    [7, "Expected 'whereDocument' to be a non-empty object"],
    [{}, "Expected 'whereDocument' to have exactly one operator, but got an object"],
    [
      { $like: "x" },
      "Expected 'whereDocument' operator to be one of $contains, $not_contains, $matches, $not_matches, $regex, $not_regex, $and, or $or, but got $like",
    ],
    [{ $and: "x" }, "Expected operand for $and to be a list of 'whereDocument' expressions, but got x"],
    [
      { $or: [{ $contains: "x" }] },
      "Expected 'whereDocument' operand for $or to be a list with at least two 'whereDocument' expressions",
    ],
    [{ $contains: 7 }, "Expected operand for $contains to be a string, but got 7"],
    [{ $and: [{ $contains: "x" }, { $regex: null }] }, "Expected operand for $regex to be a string, but got null"],
  ])("%j", async (whereDocument, message) => refuses(query({ whereDocument }), message));
});
