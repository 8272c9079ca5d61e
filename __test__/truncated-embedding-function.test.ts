import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import {
  type EmbeddingFunction,
  EphemeralClient,
  getEmbeddingFunction,
  knownEmbeddingFunctions,
  registerEmbeddingFunction,
  TruncatedEmbeddingFunction,
} from "../index.js";

/** Embeds a text as the codes of its characters, of which there must be at least four. */
class Codes implements EmbeddingFunction {
  readonly name = "codes";
  async generate(texts: string[]): Promise<number[][]> {
    return texts.map((text) => Array.from(text, (character) => character.charCodeAt(0)));
  }
  async generateForQueries(texts: string[]): Promise<number[][]> {
    return (await this.generate(texts)).map((vector) => vector.map((value) => -value));
  }
  defaultSpace(): "ip" {
    return "ip";
  }
  getConfig(): { seed: number } {
    return { seed: 1 };
  }
  validateConfigUpdate(config: { seed?: number }): void {
    if (config.seed !== 1) throw new Error("the seed must not change");
  }
  static buildFromConfig(): Codes {
    return new Codes();
  }
}

const shortened = (dimensions: number, embeddingFunction: EmbeddingFunction = new Codes()) =>
  new TruncatedEmbeddingFunction({ embeddingFunction, dimensions });

afterEach(() => knownEmbeddingFunctions.clear());

test("vectors are the first values of the whole ones, at unit length", async () => {
  const vector = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e3, max: 1e3 }), { minLength: 4 });
  await fc.assert(
    fc.asyncProperty(vector, fc.integer({ min: 1, max: 4 }), async (whole, dimensions) => {
      const [short = []] = await shortened(dimensions, { generate: async () => [whole] }).generate(["x"]);
      const kept = whole.slice(0, dimensions);
      const norm = Math.hypot(...kept);
      expect(short).toHaveLength(dimensions);
      for (const [i, value] of short.entries()) {
        expect(value).toBeCloseTo(norm === 0 ? 0 : (kept[i] as number) / norm, 10);
      }
    }),
  );
});

test("queries are shortened too", async () => {
  const [query] = await shortened(2).generateForQueries(["\u0003\u0004xx"]);
  expect(query).toEqual([-0.6, -0.8]);
  const [same] = await shortened(2, { generate: new Codes().generate }).generateForQueries(["\u0003\u0004xx"]);
  expect(same).toEqual([0.6, 0.8]);
});

test("a collection remembers it with the function inside, and finds both again", async () => {
  await using client = EphemeralClient();
  const created = await client.createCollection({ name: "texts", embeddingFunction: shortened(2) });
  const stored = {
    type: "known",
    name: "truncated",
    config: { dimensions: 2, embedding_function: { type: "known", name: "codes", config: { seed: 1 } } },
  };
  expect(created.configuration.embedding_function).toEqual(stored);
  expect(created.configuration.hnsw?.space).toBe("ip");

  const missing = await client.getCollection({ name: "texts" });
  await expect(missing.add({ ids: ["a"], documents: ["abcd"] })).rejects.toThrow(
    "the shortened one 'codes' is not installed or cannot be built",
  );
  registerEmbeddingFunction("codes", Codes);
  await missing.add({ ids: ["a"], documents: ["\u0003\u0004xx"] });
  expect((await missing.get({ include: ["embeddings"] })).embeddings).toEqual([[0.6, 0.8]]);
  expect(missing.embeddingFunction?.getConfig?.()).toEqual(stored.config);
  expect((await missing.query({ queryTexts: ["\u0003\u0004xx"] })).distances[0]?.[0]).toBeCloseTo(2, 5);
});

test("the number of dimensions of a collection stays", async () => {
  await using client = EphemeralClient();
  const collection = await client.createCollection({ name: "texts", embeddingFunction: shortened(2) });
  await expect(collection.modify({ configuration: { embeddingFunction: shortened(3) } })).rejects.toThrow(
    "The collection has vectors of 2 dimensions, which cannot become 3",
  );
  await collection.modify({ configuration: { embeddingFunction: shortened(2) } });
  const other = shortened(2, { generate: new Codes().generate });
  await expect(collection.modify({ configuration: { embeddingFunction: other } })).rejects.toThrow(
    "the seed must not change",
  );
});

test("what cannot be shortened is refused", async () => {
  expect(() => shortened(0)).toThrow("Expected 'dimensions' to be a positive integer, but got 0");
  expect(() => shortened(1.5)).toThrow("but got 1.5");
  expect(() => shortened(2, null as never)).toThrow("Expected 'embeddingFunction' to be the embedding function");
  await expect(shortened(9).generate(["abc"])).rejects.toThrow(
    "Expected vectors of at least 9 dimensions to shorten, but the embedding function returned 3",
  );
  for (const config of [{}, { dimensions: 2, embedding_function: { type: "legacy" } }, { dimensions: 0 }]) {
    expect(await getEmbeddingFunction({ efConfig: { type: "known", name: "truncated", config } })).toBeUndefined();
  }
});
