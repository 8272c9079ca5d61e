import { describe, expect, onTestFinished, test } from "vitest";
import { type Collection, EphemeralClient, type Metadata } from "../index.js";

const make = async (): Promise<Collection> => {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  return client.createCollection({ name: "hostile", embeddingFunction: null });
};

/** Strings that break what is careless with strings. */
const STRINGS = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "a\0b",
  "\u001f",
  "'; DROP TABLE records; --",
  '"quoted"',
  "back\\slash",
  "100%_LIKE",
  "../../etc/passwd",
  "😀👩‍👩‍👧‍👦",
  "\u202eRTL",
  "e\u0301",
  "é",
  "\n\r\t",
  " ",
  "null",
  "x".repeat(10_000),
];

test("ids come back as they were", async () => {
  const collection = await make();
  await collection.add({ ids: STRINGS, embeddings: STRINGS.map((_, i) => [i]) });
  expect((await collection.get()).ids).toEqual(STRINGS);
  for (const id of STRINGS) expect((await collection.get({ ids: [id] })).ids).toEqual([id]);
  await collection.compact();
  expect((await collection.get()).ids).toEqual(STRINGS);
  for (const id of STRINGS) {
    expect((await collection.query({ queryEmbeddings: [[0]], ids: [id] })).ids).toEqual([[id]]);
  }
  expect(await collection.delete({ ids: STRINGS })).toEqual({ deleted: STRINGS.length });
});

test("documents and metadata values come back as they were, and are found", async () => {
  const collection = await make();
  const ids = STRINGS.map((_, i) => `id${i}`);
  await collection.add({
    ids,
    embeddings: STRINGS.map((_, i) => [i]),
    documents: STRINGS,
    metadatas: STRINGS.map((s) => ({ s, list: [s] })),
    uris: STRINGS,
  });
  for (const sealed of [false, true]) {
    if (sealed) await collection.compact();
    const result = await collection.get({ include: ["documents", "metadatas", "uris"] });
    expect(result.documents).toEqual(STRINGS);
    expect(result.uris).toEqual(STRINGS);
    expect(result.metadatas.map((m) => m?.s)).toEqual(STRINGS);
    for (const [i, s] of STRINGS.entries()) {
      expect((await collection.get({ where: { s } })).ids).toEqual([ids[i]]);
      expect((await collection.get({ where: { list: { $contains: s } } })).ids).toEqual([ids[i]]);
      expect((await collection.get({ whereDocument: { $contains: s } })).ids).toContain(ids[i]);
    }
  }
});

test("metadata keys come back as they were, and pollute nothing", async () => {
  const collection = await make();
  const keys = STRINGS.filter((s) => s.length < 10_000);
  const metadata = Object.fromEntries(keys.map((key, i) => [key, i])) as Metadata;
  expect(Object.keys(metadata)).toContain("__proto__");
  await collection.add({
    ids: ["a", "b"],
    embeddings: [[1], [2]],
    metadatas: [metadata, JSON.parse('{"__proto__":"polluted","nothing":null}')],
  });
  const result = await collection.get();
  expect(Object.entries(result.metadatas[0] ?? {}).sort()).toEqual(Object.entries(metadata).sort());
  expect(Object.entries(result.metadatas[1] ?? {})).toEqual([["__proto__", "polluted"]]);
  for (const [i, key] of keys.entries()) {
    const where = JSON.parse(`{${JSON.stringify(key)}:${i}}`);
    expect((await collection.get({ where })).ids).toEqual(["a"]);
  }
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect(Object.getPrototypeOf(result.metadatas[1])).toBe(Object.prototype);
});

describe("arguments that misbehave", () => {
  const throwing = new Proxy([], {
    get: () => {
      throw new Error("trap");
    },
  });
  const shrinking = (): string[] => {
    const ids = ["a", "b"];
    Object.defineProperty(ids, 0, {
      get: () => {
        ids.length = 1;
        return "a";
      },
      configurable: true,
    });
    return ids;
  };
  const detached = (): Float32Array => {
    const array = new Float32Array([1, 2]);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  };

  test.each<[string, () => object]>([
    ["nothing", () => ({})],
    ["ids that throw", () => ({ ids: throwing, embeddings: [[1]] })],
    ["ids that shrink", () => ({ ids: shrinking(), embeddings: [[1], [2]] })],
    ["embeddings that throw", () => ({ ids: ["a"], embeddings: throwing })],
    ["an embedding that throws", () => ({ ids: ["a"], embeddings: [throwing] })],
    ["a detached flat array", () => ({ ids: ["a"], embeddings: detached(), dimension: 2 })],
    ["a detached row", () => ({ ids: ["a"], embeddings: [detached()] })],
    ["a DataView", () => ({ ids: ["a"], embeddings: [new DataView(new ArrayBuffer(8))] })],
    ["bigints", () => ({ ids: ["a"], embeddings: [new BigInt64Array(2)] })],
    ["a sparse array", () => ({ ids: ["a"], embeddings: [new Array(3)] })],
    ["an object with a length", () => ({ ids: { length: 1, 0: "a" }, embeddings: [[1]] })],
    ["a string that is not one", () => ({ ids: [new String("a")], embeddings: [[1]] })],
    ["a lone surrogate as id", () => ({ ids: ["\ud800"], embeddings: [[1]] })],
    ["a lone surrogate as key", () => ({ ids: ["a"], embeddings: [[1]], metadatas: [{ "\udc00": 1 }] })],
    [
      "metadata with getters that throw",
      () => ({
        ids: ["a"],
        embeddings: [[1]],
        metadatas: [
          {
            get k(): never {
              throw new Error("trap");
            },
          },
        ],
      }),
    ],
    ["metadata within metadata", () => ({ ids: ["a"], embeddings: [[1]], metadatas: [{ k: { toJSON: () => 1 } }] })],
    ["a dimension of 2^32", () => ({ ids: ["a"], embeddings: new Float32Array(1), dimension: 2 ** 32 })],
    ["more dimensions than allowed", () => ({ ids: ["a"], embeddings: [new Float32Array(8193)] })],
  ])("%s", async (_name, args) => {
    const collection = await make();
    await expect(collection.add(args() as never)).rejects.toBeInstanceOf(Error);
    expect(await collection.count()).toBe(0);
    await collection.add({ ids: ["good"], embeddings: [[1]] });
    expect(await collection.count()).toBe(1);
  });

  test("a toJSON that lies is checked again behind the boundary", async () => {
    const collection = await make();
    class Lying {
      honest = 1;
      toJSON(): unknown {
        return { nested: { deep: [1] } };
      }
    }
    const metadatas = [new Lying() as unknown as Metadata];
    await expect(collection.add({ ids: ["a"], embeddings: [[1]], metadatas })).rejects.toBeInstanceOf(Error);
    expect(await collection.count()).toBe(0);
  });

  test("shared memory is copied", async () => {
    const collection = await make();
    const shared = new Float32Array(new SharedArrayBuffer(16));
    shared.set([1, 2, 3, 4]);
    await collection.add({ ids: ["a", "b"], embeddings: shared, dimension: 2 });
    expect((await collection.get({ include: ["embeddings"] })).embeddings).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  test.each([
    ["(a{1,1000}){1,1000}", "repeated"],
    [`(${"a|".repeat(10_000)}b)`, "long"],
    ["(".repeat(1_000), "nested"],
    ["a".repeat(1_000_000), "a million characters"],
    ["(?=a)", "look-ahead"],
  ])("a regular expression case %#: %j is refused or answered soon", async (pattern) => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[1]], documents: ["b"] });
    const started = performance.now();
    const outcome = await collection.get({ whereDocument: { $regex: pattern } }).catch((error: Error) => error);
    if (outcome instanceof Error) expect(outcome.name).toBe("ChromaClientError");
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  test("a filter of ten thousand parts is answered", async () => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [{ n: 9_999 }] });
    const parts = Array.from({ length: 10_000 }, (_, n) => ({ n }));
    expect((await collection.get({ where: { $or: parts } })).ids).toEqual(["a"]);
    await expect(collection.get({ where: { $or: [...parts, ...parts] } })).rejects.toMatchObject({
      name: "ChromaClientError",
    });
  });

  test("absurd counts are bounded", async () => {
    const collection = await make();
    await collection.add({ ids: ["a"], embeddings: [[1]] });
    const { ids } = await collection.query({ queryEmbeddings: [[1]], nResults: 1e15 });
    expect(ids).toEqual([["a"]]);
    expect((await collection.get({ limit: Number.MAX_SAFE_INTEGER, offset: 0 })).ids).toEqual(["a"]);
    expect((await collection.get({ offset: Number.MAX_SAFE_INTEGER })).ids).toEqual([]);
  });
});
