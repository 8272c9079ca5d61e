import { expect } from "vitest";
import { testWith } from "./installed.js";
import { startOpenAi } from "./openai-server.js";

testWith(["@ai-sdk/openai-compatible"], "embedding models of the Vercel AI SDK are embedding functions", async () => {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const { EphemeralClient, fromEmbeddingModel } = await import("ferrochrome");
  const { url, asked } = await startOpenAi();
  const provider = createOpenAICompatible({ name: "test", baseURL: url });
  await using client = EphemeralClient();
  const collection = await client.createCollection({
    name: "notes",
    embeddingFunction: fromEmbeddingModel(provider.embeddingModel("m")),
  });
  await collection.add({ ids: ["a", "b", "c"], documents: ["red apples", "steel and iron", "a letter"] });
  expect((await collection.query({ queryTexts: ["iron"], nResults: 1 })).ids).toEqual([["b"]]);
  expect(asked.every(({ model }) => model === "m")).toBe(true);
  expect(asked.flatMap(({ input }) => input)).toEqual(["red apples", "steel and iron", "a letter", "iron"]);
});
