import { expect, vi } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { DIMENSION, embedText, embedTexts } from "./word-embeddings.js";

const PACKAGES = ["mem0ai", "@langchain/core"];

async function openMemory(vectorStore: object) {
  vi.stubEnv("MEM0_TELEMETRY", "false");
  const { Memory } = await import("mem0ai/oss");
  const { FakeListChatModel } = await import("@langchain/core/utils/testing");
  const embedder = { embedQuery: async (text: string) => embedText(text), embedDocuments: embedTexts };
  return new Memory({
    disableHistory: true,
    embedder: { provider: "langchain", config: { model: embedder as never, embeddingDims: DIMENSION } },
    llm: { provider: "langchain", config: { model: new FakeListChatModel({ responses: ["{}"] }) as never } },
    vectorStore: { provider: "chroma", config: { collectionName: "memories", dimension: DIMENSION, ...vectorStore } },
  });
}

async function remember(memory: Awaited<ReturnType<typeof openMemory>>): Promise<void> {
  const ann = { userId: "ann", infer: false };
  const { results } = await memory.add("Ann likes red apples", { ...ann, metadata: { topic: "food" } });
  await memory.add("Ann works with steel", ann);
  await memory.add("Bob likes red apples", { userId: "bob", infer: false });
  const found = await memory.search("apples", { filters: { user_id: "ann" }, topK: 1, threshold: 0 });
  expect(found.results.map(({ memory }) => memory)).toEqual(["Ann likes red apples"]);
  const id = results[0]?.id as string;
  await memory.update(id, "Ann likes green pears");
  expect((await memory.get(id))?.memory).toBe("Ann likes green pears");
  expect((await memory.getAll({ filters: { user_id: "ann" } })).results).toHaveLength(2);
  await memory.delete(id);
  await memory.deleteAll({ userId: "bob" });
  expect((await memory.getAll({ filters: { user_id: "ann" } })).results).toHaveLength(1);
  expect((await memory.getAll({ filters: { user_id: "bob" } })).results).toHaveLength(0);
}

testWith(PACKAGES, "mem0 remembers in a folder, by the alias", async () => {
  await remember(await openMemory({ path: temporaryPath() }));
});

testWith(PACKAGES, "mem0 takes a client of ours", async () => {
  const { ChromaClient } = await import("chromadb");
  const client = new ChromaClient({ path: null });
  await remember(await openMemory({ client }));
  expect((await client.listCollections()).map(({ name }) => name).sort()).toContain("memories");
  await client.close();
});
