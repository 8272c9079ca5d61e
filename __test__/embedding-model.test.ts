import { expect, test } from "vitest";
import { EphemeralClient, fromEmbeddingModel } from "../index.js";

/** A model of the AI SDK that embeds a text as its length, and remembers its calls. */
function lengths(limits: { most?: number | undefined; parallel?: boolean }) {
  const calls: { values: string[] }[] = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const model = {
    specificationVersion: "v4",
    provider: "test",
    modelId: "lengths",
    // The specification allows promises here.
    maxEmbeddingsPerCall: Promise.resolve(limits.most),
    supportsParallelCalls: limits.parallel ?? false,
    async doEmbed(options: { values: string[] }) {
      calls.push(options);
      mostUnderWay = Math.max(mostUnderWay, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 2));
      underWay--;
      return { embeddings: options.values.map((text) => [text.length, 1]), warnings: [] };
    },
  };
  return { model, calls, mostUnderWay: () => mostUnderWay };
}

const texts = ["a", "bb", "ccc", "dddd", "eeeee"];
const vectors = texts.map((text) => [text.length, 1]);

test("texts are sent in calls of as many as the model takes, one after another", async () => {
  const { model, calls, mostUnderWay } = lengths({ most: 2 });
  const providerOptions = { test: { dimensions: 2 } };
  const embedding = fromEmbeddingModel(model, { providerOptions });
  expect(await embedding.generate(texts)).toEqual(vectors);
  expect(calls).toEqual([
    { values: ["a", "bb"], providerOptions },
    { values: ["ccc", "dddd"], providerOptions },
    { values: ["eeeee"], providerOptions },
  ]);
  expect(mostUnderWay()).toBe(1);
});

test("or several at once where the model allows it, and all in one where it has no limit", async () => {
  const several = lengths({ most: 1, parallel: true });
  expect(await fromEmbeddingModel(several.model).generate(texts)).toEqual(vectors);
  expect(several.mostUnderWay()).toBe(4);
  const one = lengths({ most: undefined });
  expect(await fromEmbeddingModel(one.model).generate(texts)).toEqual(vectors);
  expect(one.calls).toHaveLength(1);
  expect(await fromEmbeddingModel(one.model).generate([])).toEqual([]);
});

test("collections use it", async () => {
  await using client = EphemeralClient();
  const embeddingFunction = fromEmbeddingModel(lengths({ most: 2 }).model);
  const collection = await client.createCollection({ name: "texts", embeddingFunction });
  await collection.add({ ids: texts, documents: texts });
  expect((await collection.query({ queryTexts: ["xxx"], nResults: 1 })).ids).toEqual([["ccc"]]);
  expect(collection.configuration.embedding_function).toEqual({ type: "legacy" });
});

test("what is no model, or answers wrongly, is refused", async () => {
  expect(() => fromEmbeddingModel("openai/text-embedding-3-small" as never)).toThrow("but got string");
  const model = { modelId: "short", doEmbed: async () => ({ embeddings: [[1]] }) };
  await expect(fromEmbeddingModel(model).generate(["a", "b"])).rejects.toThrow(
    "The model short returned 1 embeddings for 2 texts",
  );
});
