import { describe, expect, onTestFinished, test } from "vitest";
import { type Collection, type CreateCollectionConfiguration, EphemeralClient, type Where } from "../index.js";

const make = async (configuration?: CreateCollectionConfiguration): Promise<Collection> => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  return client.createCollection({ name: "records", embeddingFunction: null, configuration });
};

const filled = async (): Promise<Collection> => {
  const collection = await make();
  await collection.add({
    ids: ["a", "b", "c", "d"],
    embeddings: [
      [1, 0],
      [0, 1],
      [1, 1],
      [5, 5],
    ],
    documents: ["the cat sat", "a Dog barked", "cats and dogs", "100% of C_3PO"],
    metadatas: [{ n: 1, s: "x", tags: ["red", "blue"] }, { n: 2.5, b: true }, { n: 3, s: "y" }, null],
    uris: ["file:///a", "file:///b", "file:///c", "file:///d"],
  });
  return collection;
};

describe("add", () => {
  test("takes vectors as arrays, as Float32Arrays, and flat", async () => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[0.1, 2]] });
    await collection.add({ ids: ["b"], embeddings: [new Float32Array([0.1, 3])] });
    await collection.add({ ids: ["c", "d"], embeddings: new Float32Array([0.1, 4, 0.1, 5]), dimension: 2 });
    const { embeddings } = await collection.get({ include: ["embeddings"] });
    expect(embeddings).toEqual([
      [0.1, 2],
      [0.1, 3],
      [0.1, 4],
      [0.1, 5],
    ]);
  });

  test("copies vectors before it returns", async () => {
    const collection = await make();
    const embeddings = new Float32Array([1, 2]);
    const added = collection.add({ ids: ["a"], embeddings, dimension: 2 });
    await added;
    embeddings.fill(9);
    expect((await collection.get({ include: ["embeddings"] })).embeddings).toEqual([[1, 2]]);
  });

  test("ignores ids that exist", async () => {
    const collection = await filled();
    await collection.add({
      ids: ["a", "e"],
      embeddings: [
        [9, 9],
        [8, 8],
      ],
      documents: ["changed", "new"],
    });
    const { ids, documents } = await collection.get();
    expect(ids).toEqual(["a", "b", "c", "d", "e"]);
    expect(documents[0]).toBe("the cat sat");
  });

  test("refuses another dimension, and then adds nothing", async () => {
    const collection = await filled();
    await expect(collection.add({ ids: ["e"], embeddings: [[1, 2, 3]] })).rejects.toMatchObject({
      name: "ChromaClientError",
      message: `Bad request to collections/${collection.id}/add with status: Collection expecting embedding with dimension of 2, got 3`,
    });
    expect(await collection.count()).toBe(4);
  });

  test.each([
    [{ ids: [""], embeddings: [[1]] }, "Empty ID, ID must have at least one character"],
    [{ ids: ["a"], embeddings: [[1]], metadatas: [{ "": 1 }] }, "Invalid metadata at index 0"],
    [{ ids: ["a"], embeddings: [[1]], metadatas: [{ $k: 1 }] }, "Invalid metadata at index 0"],
    [{ ids: ["a", "b"], embeddings: [[1], [1]], metadatas: [null, { "#k": 1 }] }, "Invalid metadata at index 1"],
    [
      { ids: ["a"], embeddings: [[1]], metadatas: [{ k: { indices: [1], values: [1] } }] },
      "Sparse vector is not supported for local chroma: k",
    ],
  ])("refuses %j", async (args, message) => {
    const collection = await make();
    await expect(collection.add(args as never)).rejects.toThrow(message);
    expect(await collection.count()).toBe(0);
  });

  test("a large batch is one batch", async () => {
    const collection = await make();
    const rows = 20_000;
    const ids = Array.from({ length: rows }, (_, i) => `id${i}`);
    await collection.add({
      ids,
      embeddings: ids.map((_, i) => [i, 1]),
      documents: ids.map((id) => `document of ${id}`),
      metadatas: ids.map((_, i) => (i % 2 === 0 ? { i, nothing: null } : null)),
    });
    expect(await collection.count()).toBe(rows);
    const { metadatas, documents } = await collection.get({ ids: ["id10000", "id10001"] });
    expect(metadatas).toEqual([{ i: 10_000 }, null]);
    expect(documents).toEqual(["document of id10000", "document of id10001"]);
  });
});

describe("calls at the same time", () => {
  test("change in the order of the calls, although some take longer to prepare", async () => {
    const collection = await make();
    const many = Array.from({ length: 5_000 }, (_, i) => `id${i}`);
    const documents = many.map((id) => `document ${id}`);
    await Promise.all([
      collection.add({ ids: many, embeddings: many.map((_, i) => [i, 1]), documents }),
      collection.update({ ids: ["id7"], documents: ["updated"], embeddings: [[7, 7]] }),
      collection.delete({ ids: ["id8"] }),
      collection
        .add({ ids: [1] as never, embeddings: [[1, 1]] })
        .catch((error: Error) => expect(error.name).toBe("ChromaValueError")),
      collection.upsert({ ids: ["id8"], embeddings: [[8, 8]] }),
    ]);
    const { ids, documents: found } = await collection.get();
    expect(ids).toHaveLength(5_000);
    expect(ids.at(-1)).toBe("id8");
    expect(found[7]).toBe("updated");
  });

  test("take null for no limit and no offset", async () => {
    const collection = await make();
    await collection.add({
      ids: ["a", "b"],
      embeddings: [
        [1, 1],
        [2, 2],
      ],
    });
    expect((await collection.get({ limit: null, offset: null })).ids).toEqual(["a", "b"]);
  });

  test("of an embedding function that writes to its own collection do not wait for one another", async () => {
    const collection = await make();
    collection.embeddingFunction = {
      generate: async (texts) => {
        await collection.upsert({ ids: ["log"], embeddings: [[0, 0]], documents: [`embedded ${texts[0]}`] });
        return texts.map(() => [1, 1]);
      },
    };
    await collection.add({ ids: ["a"], documents: ["text"] });
    expect((await collection.get()).documents).toEqual(["embedded text", "text"]);
  });

  test("are not held up by an embedding function that does not answer", async () => {
    const collection = await make();
    let answer = (_embeddings: number[][]): void => {};
    collection.embeddingFunction = {
      generate: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    };
    const hanging = collection.add({ ids: ["late"], documents: ["text"] });
    await collection.add({ ids: ["a"], embeddings: [[1, 1]] });
    await collection.delete({ ids: ["a"] });
    answer([[1, 1]]);
    await hanging;
    expect((await collection.get()).ids).toEqual(["late"]);
  });

  test("reads go on beside writes and see whole batches", async () => {
    const collection = await make();
    await collection.add({ ids: ["first"], embeddings: [[0, 0]], metadatas: [{ batch: -1 }] });
    const writing = (async () => {
      for (let batch = 0; batch < 40; batch++) {
        const ids = Array.from({ length: 50 }, (_, i) => `${batch}-${i}`);
        await collection.add({ ids, embeddings: ids.map((_, i) => [batch, i]), metadatas: ids.map(() => ({ batch })) });
        if (batch === 20) await collection.compact();
      }
    })();
    let reads = 0;
    let done = false;
    void writing.then(() => {
      done = true;
    });
    while (!done) {
      const [{ ids }, { ids: hits }] = await Promise.all([
        collection.get({ include: [] }),
        collection.query({ queryEmbeddings: [[0, 0]], nResults: 3 }),
      ]);
      expect((ids.length - 1) % 50).toBe(0);
      expect(hits[0]?.[0]).toMatch(/^first|0-0$/);
      reads++;
    }
    await writing;
    expect(reads).toBeGreaterThan(3);
    expect(await collection.count()).toBe(2_001);
  });
});

describe("metadata", () => {
  test("values come back as they were", async () => {
    const collection = await make();
    const metadata = {
      string: "x",
      empty: "",
      integer: 7,
      negative: -1.5,
      big: Number.MAX_SAFE_INTEGER,
      huge: 1e300,
      tiny: 5e-324,
      yes: true,
      no: false,
      strings: ["a", "b"],
      numbers: [1, 2.5],
      integers: [1, 2],
      flags: [true, false],
    };
    await collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [metadata] });
    expect((await collection.get()).metadatas).toEqual([metadata]);
  });

  test("null values are left out, as in Chroma's client", async () => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [{ a: 1, b: null }] });
    await collection.update({ ids: ["a"], metadatas: [{ a: null, c: 3 }] });
    expect((await collection.get()).metadatas).toEqual([{ a: 1, c: 3 }]);
  });
});

describe("update and upsert", () => {
  test("update merges, ignores unknown ids, and keeps places", async () => {
    const collection = await filled();
    await collection.update({ ids: ["b", "unknown"], metadatas: [{ n: 7, extra: "e" }, { n: 8 }] });
    const result = await collection.get({ include: ["documents", "metadatas", "uris", "embeddings"] });
    expect(result.ids).toEqual(["a", "b", "c", "d"]);
    expect(result.metadatas[1]).toEqual({ n: 7, b: true, extra: "e" });
    expect(result.documents[1]).toBe("a Dog barked");
    expect(result.embeddings[1]).toEqual([0, 1]);
    await collection.update({ ids: ["b"], embeddings: [[3, 4]], uris: ["file:///new"] });
    const changed = await collection.get({ ids: ["b"], include: ["embeddings", "uris"] });
    expect(changed).toMatchObject({ embeddings: [[3, 4]], uris: ["file:///new"] });
  });

  test("upsert adds and merges", async () => {
    const collection = await filled();
    await collection.upsert({
      ids: ["d", "e"],
      embeddings: [
        [6, 6],
        [7, 7],
      ],
      metadatas: [{ n: 4 }, { n: 5 }],
    });
    const result = await collection.get({ include: ["documents", "metadatas", "embeddings"] });
    expect(result.ids).toEqual(["a", "b", "c", "d", "e"]);
    expect(result.documents.slice(3)).toEqual(["100% of C_3PO", null]);
    expect(result.metadatas.slice(3)).toEqual([{ n: 4 }, { n: 5 }]);
    expect(result.embeddings.slice(3)).toEqual([
      [6, 6],
      [7, 7],
    ]);
  });
});

describe("get", () => {
  test("answers in insertion order, whatever the order of the ids", async () => {
    const collection = await filled();
    const result = await collection.get({ ids: ["c", "unknown", "a"] });
    expect(result.ids).toEqual(["a", "c"]);
    expect(result.include).toEqual(["documents", "metadatas"]);
    expect(result.embeddings).toEqual([]);
    expect(result.uris).toEqual([]);
    await collection.delete({ ids: ["a"] });
    await collection.add({ ids: ["a"], embeddings: [[1, 0]] });
    expect((await collection.get()).ids).toEqual(["b", "c", "d", "a"]);
  });

  test("pages after filtering", async () => {
    const collection = await filled();
    const ids = async (args: object): Promise<string[]> => (await collection.get(args)).ids;
    expect(await ids({ limit: 2 })).toEqual(["a", "b"]);
    expect(await ids({ limit: 2, offset: 1 })).toEqual(["b", "c"]);
    expect(await ids({ where: { n: { $gte: 2 } }, offset: 1 })).toEqual(["c"]);
    expect(await ids({ offset: 9 })).toEqual([]);
    expect(await ids({ limit: 0 })).toEqual([]);
    expect((await collection.peek({ limit: 1 })).ids).toEqual(["a"]);
    expect((await collection.peek()).ids).toHaveLength(4);
  });

  test.each<[Where, string[]]>([
    [{ n: 1 }, ["a"]],
    [{ n: { $ne: 1 } }, ["b", "c", "d"]],
    [{ n: { $gt: 1 } }, ["b", "c"]],
    [{ n: { $gte: 2.5 } }, ["b", "c"]],
    [{ n: { $lt: 3 } }, ["a", "b"]],
    [{ n: { $lte: 3 } }, ["a", "b", "c"]],
    [{ s: { $in: ["x", "y"] } }, ["a", "c"]],
    [{ s: { $nin: ["x"] } }, ["b", "c", "d"]],
    [{ b: true }, ["b"]],
    [{ tags: { $contains: "red" } }, ["a"]],
    [{ tags: { $not_contains: "red" } }, ["b", "c", "d"]],
    [{ $and: [{ n: { $gt: 0 } }, { s: "y" }] }, ["c"]],
    [{ $or: [{ n: 1 }, { b: true }] }, ["a", "b"]],
    [{ missing: "x" }, []],
  ])("where %j", async (where, ids) => {
    const collection = await filled();
    expect((await collection.get({ where })).ids).toEqual(ids);
  });

  test.each([
    [{ $contains: "cat" }, ["a", "c"]],
    [{ $contains: "Cat" }, []],
    [{ $contains: "0%" }, ["d"]],
    [{ $contains: "C_3" }, ["d"]],
    [{ $contains: "D" }, ["b"]],
    [{ $not_contains: "cat" }, ["b", "d"]],
    [{ $regex: "(?i)dogs?$" }, ["c"]],
    [{ $not_regex: "[au]" }, ["d"]],
    [{ $and: [{ $contains: "cat" }, { $not_contains: "dog" }] }, ["a"]],
    [{ $or: [{ $contains: "sat" }, { $contains: "barked" }] }, ["a", "b"]],
  ])("whereDocument %j", async (whereDocument, ids) => {
    const collection = await filled();
    expect((await collection.get({ whereDocument: whereDocument as never })).ids).toEqual(ids);
  });

  test("refuses a regular expression that is not one", async () => {
    const collection = await filled();
    await expect(collection.get({ whereDocument: { $regex: "(" } })).rejects.toMatchObject({
      name: "ChromaClientError",
    });
    await expect(collection.get({ whereDocument: { $matches: "x" } })).rejects.toMatchObject({
      name: "ChromaClientError",
    });
  });
});

describe("query", () => {
  test("answers the nearest first, with what was asked for", async () => {
    const collection = await filled();
    const result = await collection.query({
      queryEmbeddings: [
        [1, 0],
        [5, 5],
      ],
      nResults: 2,
    });
    expect(result.ids).toEqual([
      ["a", "c"],
      ["d", "c"],
    ]);
    expect(result.distances).toEqual([
      [0, 1],
      [0, 32],
    ]);
    expect(result.documents).toEqual([
      ["the cat sat", "cats and dogs"],
      ["100% of C_3PO", "cats and dogs"],
    ]);
    expect(result.metadatas[1]).toEqual([null, { n: 3, s: "y" }]);
    expect(result.embeddings).toEqual([]);
    expect(result.include).toEqual(["metadatas", "documents", "distances"]);
    const bare = await collection.query({ queryEmbeddings: [[1, 0]], include: ["embeddings", "uris"], nResults: 2 });
    expect(bare).toMatchObject({
      distances: [],
      documents: [],
      embeddings: [
        [
          [1, 0],
          [1, 1],
        ],
      ],
      uris: [["file:///a", "file:///c"]],
    });
  });

  test("takes one query alone, Float32Arrays, and a flat array", async () => {
    const collection = await filled();
    const first = async (queryEmbeddings: never, dimension?: number): Promise<unknown> =>
      (await collection.query({ queryEmbeddings, dimension, nResults: 1 })).ids;
    expect(await first([5, 5] as never)).toEqual([["d"]]);
    expect(await first(new Float32Array([5, 5]) as never)).toEqual([["d"]]);
    expect(await first([new Float32Array([5, 5])] as never)).toEqual([["d"]]);
    expect(await first(new Float32Array([5, 5, 0, 1]) as never, 2)).toEqual([["d"], ["b"]]);
  });

  test("gives min(nResults, matching) records, whatever the filter", async () => {
    const collection = await filled();
    const ids = async (args: object): Promise<string[][]> =>
      (await collection.query({ queryEmbeddings: [[0, 0]], ...args })).ids;
    expect(await ids({})).toHaveLength(1);
    expect((await ids({ nResults: 100 }))[0]).toHaveLength(4);
    expect(await ids({ nResults: 0 })).toEqual([[]]);
    expect(await ids({ where: { n: { $gt: 2 } } })).toEqual([["b", "c"]]);
    expect(await ids({ ids: ["d", "c"] })).toEqual([["c", "d"]]);
    expect(await ids({ ids: ["d", "unknown"], where: { n: { $ne: 7 } } })).toEqual([["d"]]);
    expect(await ids({ whereDocument: { $contains: "Dog" } })).toEqual([["b"]]);
    expect(await ids({ where: { n: 99 } })).toEqual([[]]);
    expect(await ids({ searchParams: { exact: true }, nResults: 1 })).toHaveLength(1);
    expect(await ids({ searchParams: { ef: 200 }, nResults: 4 })).toHaveLength(1);
  });

  test("an unknown id without a filter is the server's error", async () => {
    const collection = await filled();
    await expect(collection.query({ queryEmbeddings: [[0, 0]], ids: ["unknown"] })).rejects.toThrow("Error finding id");
  });

  test("refuses another dimension, but not of an empty collection", async () => {
    const empty = await make();
    expect((await empty.query({ queryEmbeddings: [[1, 2, 3]] })).ids).toEqual([[]]);
    const collection = await filled();
    await expect(collection.query({ queryEmbeddings: [[1, 2, 3]] })).rejects.toThrow(
      "Collection expecting embedding with dimension of 2, got 3",
    );
    await expect(collection.query({ queryEmbeddings: [[1, 2], [1]] })).rejects.toThrow(
      "Inconsistent dimensions in provided embeddings",
    );
  });

  test.each([
    ["l2", [0.25, 1.25]],
    ["ip", [0.5, 1]],
    ["cosine", [0, 1]],
  ] as const)("%s distances", async (space, distances) => {
    const collection = await make({ hnsw: { space } });
    await collection.add({
      ids: ["a", "b"],
      embeddings: [
        [0, 1],
        [1, 0],
      ],
    });
    const result = await collection.query({ queryEmbeddings: [[0, 0.5]] });
    expect(result.ids).toEqual([["a", "b"]]);
    for (const [i, distance] of distances.entries()) expect(result.distances[0]?.[i]).toBeCloseTo(distance, 6);
  });

  test("distances print as 32-bit floats do", async () => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[0.1]] });
    const { distances } = await collection.query({ queryEmbeddings: [[0.3]] });
    const distance = distances[0]?.[0] ?? Number.NaN;
    expect(String(distance).length).toBeLessThan(13);
    expect(distance).toBeCloseTo(0.04, 7);
  });

  test("finds in a large collection what an exact search finds", async () => {
    const collection = await make();
    let state = 7;
    const random = (): number => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return state / 2147483648 - 0.5;
    };
    const rows = 5_000;
    const dimension = 32;
    const vectors = Float32Array.from({ length: rows * dimension }, random);
    await collection.add({ ids: Array.from({ length: rows }, (_, i) => `${i}`), embeddings: vectors, dimension });
    await collection.compact();
    const queries = Float32Array.from({ length: 50 * dimension }, random);
    const approximate = await collection.query({ queryEmbeddings: queries, dimension, nResults: 10 });
    const exact = await collection.query({
      queryEmbeddings: queries,
      dimension,
      nResults: 10,
      searchParams: { exact: true },
    });
    let found = 0;
    approximate.ids.forEach((ids, q) => {
      found += ids.filter((id) => exact.ids[q]?.includes(id)).length;
    });
    expect(found / 500).toBeGreaterThan(0.95);
    expect(await collection.getIndexingStatus()).toMatchObject({ num_unindexed_ops: 0, op_indexing_progress: 1 });
  });
});

describe("delete", () => {
  test("by ids, filters, both, with a limit, and nothing", async () => {
    const collection = await filled();
    expect(await collection.delete({})).toEqual({ deleted: 0 });
    expect(await collection.delete({ where: { n: { $gt: 0 } }, limit: 1 })).toEqual({ deleted: 1 });
    expect((await collection.get()).ids).toEqual(["b", "c", "d"]);
    expect(await collection.delete({ ids: ["b", "c"], where: { s: "y" } })).toEqual({ deleted: 1 });
    expect(await collection.delete({ whereDocument: { $contains: "Dog" } })).toEqual({ deleted: 1 });
    expect(await collection.delete({ ids: ["d", "unknown"] })).toEqual({ deleted: 2 });
    expect(await collection.count()).toBe(0);
    await expect(collection.delete({ ids: [] })).rejects.toThrow("Expected 'ids' to be a non-empty list");
  });

  test("the dimension survives", async () => {
    const collection = await filled();
    await collection.delete({ ids: ["a", "b", "c", "d"] });
    await expect(collection.add({ ids: ["e"], embeddings: [[1]] })).rejects.toThrow("dimension of 2, got 1");
  });
});

describe("modify", () => {
  test("changes name and metadata", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "old", embeddingFunction: null, metadata: { a: 1 } });
    await collection.modify({ name: "new", metadata: { b: 2 } });
    expect(collection).toMatchObject({ name: "new", metadata: { b: 2 } });
    expect((await client.getCollection({ name: "new" })).metadata).toEqual({ b: 2 });
    await expect(client.getCollection({ name: "old" })).rejects.toMatchObject({ name: "ChromaNotFoundError" });
    collection.metadata = { local: true };
    expect(collection.metadata).toEqual({ local: true });
  });

  test("refuses a name that is taken or wrong, and empty metadata; then nothing has changed", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "one", embeddingFunction: null });
    await client.createCollection({ name: "two", embeddingFunction: null });
    await expect(collection.modify({ name: "two" })).rejects.toMatchObject({ name: "ChromaUniqueError" });
    await expect(collection.modify({ name: "x" })).rejects.toThrow("Validation error: new_name:");
    await expect(collection.modify({ metadata: {} })).rejects.toThrow("Expected metadata to be non-empty");
    for (const key of ["", "#a", "$a"]) {
      await expect(collection.modify({ metadata: { [key]: 1 } })).rejects.toMatchObject({
        name: "ChromaClientError",
        message: expect.stringContaining(`Metadata key cannot start with '#' or '$': ${key}`),
      });
    }
    expect(collection.name).toBe("one");
    await collection.modify({});
    expect((await client.getCollection({ name: "one" })).id).toBe(collection.id);
  });
});

test("what is not offered yet says so", async () => {
  const collection = await make();
  await expect(collection.search([])).rejects.toMatchObject({
    name: "ChromaValueError",
    message: "At least one search payload must be provided.",
  });
  await expect(collection.search({})).rejects.toMatchObject({
    name: "ChromaServerError",
    message: "search() is not implemented yet in ferrochrome",
  });
});
