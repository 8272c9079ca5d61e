import { afterEach, describe, expect, test } from "vitest";
import {
  type EmbeddingFunction,
  type EmbeddingFunctionConfig,
  EphemeralClient,
  getEmbeddingFunction,
  getSparseEmbeddingFunction,
  knownEmbeddingFunctions,
  knownSparseEmbeddingFunctions,
  processCreateCollectionConfig,
  processUpdateCollectionConfig,
  registerEmbeddingFunction,
  registerSparseEmbeddingFunction,
  Schema,
  type SparseEmbeddingFunction,
  serializeEmbeddingFunction,
  VectorIndexConfig,
} from "../index.js";

/** Embeds a text as its length. */
class Lengths implements EmbeddingFunction {
  readonly name = "lengths";
  readonly scale: number;

  constructor(scale = 1) {
    this.scale = scale;
  }

  async generate(texts: string[]): Promise<number[][]> {
    return texts.map((text) => [text.length * this.scale, 1]);
  }

  defaultSpace(): "cosine" {
    return "cosine";
  }

  supportedSpaces(): ("cosine" | "l2")[] {
    return ["cosine", "l2"];
  }

  getConfig(): EmbeddingFunctionConfig {
    return { scale: this.scale };
  }

  validateConfigUpdate(config: EmbeddingFunctionConfig): void {
    if (config.scale !== this.scale) throw new Error("the scale must not change");
  }

  static buildFromConfig(config: EmbeddingFunctionConfig): Lengths {
    if (typeof config.scale !== "number") throw new Error("no scale");
    return new Lengths(config.scale);
  }
}

/** Cannot be built again. */
const nameless: EmbeddingFunction = { generate: async (texts) => texts.map(() => [1, 1]) };

afterEach(() => {
  knownEmbeddingFunctions.clear();
  knownSparseEmbeddingFunctions.clear();
});

describe("the registry", () => {
  test("refuses a name twice", () => {
    registerEmbeddingFunction("lengths", Lengths);
    expect(() => registerEmbeddingFunction("lengths", Lengths)).toThrow(
      "Embedding function with name lengths is already registered.",
    );
  });

  test("is one for all copies of the package", () => {
    registerEmbeddingFunction("lengths", Lengths);
    const shared = (globalThis as unknown as Record<symbol, { dense: Map<string, unknown> }>)[
      Symbol.for("ferrochrome.embeddingFunctions")
    ];
    expect(shared?.dense.get("lengths")).toBe(Lengths);
  });

  test("builds what is known, and nothing else", async () => {
    registerEmbeddingFunction("lengths", Lengths);
    const build = (config: unknown): Promise<EmbeddingFunction | undefined> =>
      getEmbeddingFunction({ efConfig: config as never });
    expect(await build({ type: "known", name: "lengths", config: { scale: 3 } })).toMatchObject({ scale: 3 });
    expect(await build({ type: "known", name: "lengths", config: {} })).toBeUndefined();
    expect(await build({ type: "known", name: "huggingface", config: {} })).toBeUndefined();
    expect(await build({ type: "known", name: "not_installed", config: {} })).toBeUndefined();
    expect(await build({ type: "known", name: "../../evil", config: {} })).toBeUndefined();
    expect(await build({ type: "legacy" })).toBeUndefined();
    expect(await build(null)).toBeUndefined();
  });

  test("keeps sparse functions apart", async () => {
    class Sparse implements SparseEmbeddingFunction {
      async generate(texts: string[]): Promise<{ indices: number[]; values: number[] }[]> {
        return texts.map(() => ({ indices: [0], values: [1] }));
      }
      static buildFromConfig(): Sparse {
        return new Sparse();
      }
    }
    registerSparseEmbeddingFunction("sparse", Sparse);
    const efConfig = { type: "known", name: "sparse", config: {} } as const;
    expect(await getSparseEmbeddingFunction(undefined, efConfig)).toBeInstanceOf(Sparse);
    expect(await getEmbeddingFunction({ efConfig })).toBeUndefined();
    expect(() => registerSparseEmbeddingFunction("sparse", Sparse)).toThrow("already registered");
  });
});

describe("what a collection remembers", () => {
  test("name and configuration where the function can be built again, otherwise that there is one", () => {
    expect(serializeEmbeddingFunction({ embeddingFunction: new Lengths(2) })).toEqual({
      type: "known",
      name: "lengths",
      config: { scale: 2 },
    });
    expect(serializeEmbeddingFunction({ configEmbeddingFunction: nameless })).toEqual({ type: "legacy" });
    expect(serializeEmbeddingFunction({})).toBeUndefined();
    expect(() =>
      serializeEmbeddingFunction({ embeddingFunction: nameless, configEmbeddingFunction: nameless }),
    ).toThrow("Embedding function provided when already defined in the collection configuration");
  });

  test("the default function when none is given, nothing when it is null", async () => {
    expect(await processCreateCollectionConfig({})).toEqual({
      embedding_function: { type: "known", name: "default", config: {} },
    });
    expect(await processCreateCollectionConfig({ embeddingFunction: null })).toEqual({});
    const schema = new Schema().createIndex(new VectorIndexConfig({ embeddingFunction: new Lengths() }));
    expect(await processCreateCollectionConfig({ schema })).toEqual({});
  });

  test("the function's default space, unless a space is given", async () => {
    const embeddingFunction = new Lengths();
    const hnswOf = async (args: object): Promise<unknown> =>
      (await processCreateCollectionConfig({ embeddingFunction, ...args })).hnsw;
    expect(await hnswOf({})).toEqual({ space: "cosine" });
    expect(await hnswOf({ configuration: { hnsw: { ef_search: 7 } } })).toEqual({ ef_search: 7, space: "cosine" });
    expect(await hnswOf({ configuration: { hnsw: { space: "l2" } } })).toEqual({ space: "l2" });
    expect(await hnswOf({ metadata: { "hnsw:space": "l2" } })).toBeUndefined();
    const configuration = { hnsw: { ef_search: 7 } };
    await hnswOf({ configuration });
    expect(configuration).toEqual({ hnsw: { ef_search: 7 } });
  });

  test("both kinds of index are refused", async () => {
    await expect(processCreateCollectionConfig({ configuration: { hnsw: {}, spann: {} } })).rejects.toThrow(
      "Cannot specify both HNSW and SPANN configurations",
    );
  });

  test("the old function may refuse a change of the configuration", async () => {
    const update = (embeddingFunction: EmbeddingFunction): Promise<unknown> =>
      processUpdateCollectionConfig({
        collectionName: "c",
        currentConfiguration: {},
        currentEmbeddingFunction: new Lengths(1),
        newConfiguration: { embeddingFunction },
      });
    await expect(update(new Lengths(2))).rejects.toThrow("the scale must not change");
    await expect(update(new Lengths(1))).resolves.toMatchObject({
      updateConfiguration: { embedding_function: { name: "lengths" } },
    });
  });
});

describe("collections", () => {
  test("embed documents and query texts", async () => {
    await using client = EphemeralClient();
    const calls: string[] = [];
    class Recording extends Lengths {
      override async generate(texts: string[]): Promise<number[][]> {
        calls.push(`documents ${texts.join()}`);
        return super.generate(texts);
      }
      async generateForQueries(texts: string[]): Promise<number[][]> {
        calls.push(`queries ${texts.join()}`);
        return super.generate(texts);
      }
    }
    const collection = await client.createCollection({
      name: "texts",
      embeddingFunction: new Recording(),
      configuration: { hnsw: { space: "l2" } },
    });
    await collection.add({ ids: ["a", "b"], documents: ["x", "four"] });
    const result = await collection.query({ queryTexts: ["abc"], nResults: 1 });
    expect(result.ids).toEqual([["b"]]);
    await collection.update({ ids: ["a"], documents: ["abc"] });
    expect((await collection.get({ ids: ["a"], include: ["embeddings"] })).embeddings).toEqual([[3, 1]]);
    expect(calls).toEqual(["documents x,four", "queries abc", "documents abc"]);
  });

  test("find a registered function again, and load nothing to be read", async () => {
    await using client = EphemeralClient();
    const embeddingFunction = new Lengths(2);
    const created = await client.createCollection({ name: "texts", embeddingFunction });
    expect(created.embeddingFunction).toBe(embeddingFunction);
    expect((await client.getCollection({ name: "texts" })).embeddingFunction).toBeUndefined();
    registerEmbeddingFunction("lengths", Lengths);
    const collection = await client.getCollection({ name: "texts" });
    expect(collection.embeddingFunction).toMatchObject({ scale: 2 });
    expect(collection.schema?.resolveEmbeddingFunction()).toMatchObject({ scale: 2 });
    expect(collection.configuration.embedding_function).toEqual({
      type: "known",
      name: "lengths",
      config: { scale: 2 },
    });
    await collection.add({ ids: ["a"], documents: ["xx"] });
    expect((await collection.get({ include: ["embeddings"] })).embeddings).toEqual([[4, 1]]);
  });

  test("have none with null, the default one's name otherwise", async () => {
    await using client = EphemeralClient();
    const none = await client.createCollection({ name: "none", embeddingFunction: null });
    expect(none.configuration.embedding_function).toBeNull();
    expect(none.embeddingFunction).toBeUndefined();
    const standard = await client.createCollection({ name: "standard" });
    expect(standard.configuration.embedding_function).toMatchObject({ type: "known", name: "default" });
    await expect(standard.add({ ids: ["a"], documents: ["x"] })).rejects.toThrow(
      "the default one needs the package @huggingface/transformers, which is not installed. Run npm install @huggingface/transformers",
    );
    await expect(none.add({ ids: ["a"], documents: ["x"] })).rejects.toThrow(
      "No embedding function found for collection 'none'. You can either provide embeddings directly, or ensure",
    );
    const configuration = { type: "known", name: "voyageai", config: {} } as const;
    standard.configuration = { embedding_function: configuration };
    standard.embeddingFunction = undefined;
    await expect(standard.query({ queryTexts: ["x"] })).rejects.toThrow(
      "No embedding function found for collection 'standard'. You can either provide embeddings directly, or install the package of its function 'voyageai' (npm install @chroma-core/voyageai)",
    );
  });

  test("are told when a function returns too few vectors", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({
      name: "texts",
      embeddingFunction: { generate: async () => [[1]] },
    });
    await expect(collection.add({ ids: ["a", "b"], documents: ["x", "y"] })).rejects.toThrow(
      "Embedding function returned 1 embeddings for 2 texts",
    );
    expect(await collection.count()).toBe(0);
  });
});

describe("the name of a function", () => {
  const described = (name: unknown): unknown =>
    serializeEmbeddingFunction({ embeddingFunction: Object.defineProperty(new Lengths(), "name", { value: name }) });

  test("may be a method", () => {
    expect(described(() => "lengths")).toEqual({ type: "known", name: "lengths", config: { scale: 1 } });
  });

  test.each([[""], [7], [{}], [() => ""], [() => 7]])("that is %s cannot be remembered", (name) => {
    expect(described(name)).toEqual({ type: "legacy" });
  });
});
