import { expect } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { embedText } from "./word-embeddings.js";

testWith(["@llamaindex/chroma", "@llamaindex/core"], "LlamaIndex.TS keeps its nodes in a folder", async () => {
  const { ChromaVectorStore } = await import("@llamaindex/chroma");
  const { TextNode } = await import("@llamaindex/core/schema");
  const { FilterOperator, VectorStoreQueryMode } = await import("@llamaindex/core/vector-store");
  const store = new ChromaVectorStore({
    collectionName: "nodes",
    // Asked for by the constructor, and not used: the nodes bring their vectors.
    embeddingModel: {} as never,
    chromaClientParams: { path: temporaryPath() },
  });
  const node = (id_: string, text: string, metadata: Record<string, unknown>) =>
    new TextNode({ id_, text, metadata, embedding: embedText(text) });
  const added = await store.add([
    node("a", "red apples", { kind: "fruit" }),
    node("b", "steel and iron", { kind: "metal", n: 2 }),
    node("c", "iron mining", {}),
  ]);
  expect(added).toEqual(["a", "b", "c"]);

  const query = {
    queryEmbedding: embedText("steel iron"),
    similarityTopK: 2,
    mode: VectorStoreQueryMode.DEFAULT,
  };
  const found = await store.query(query as never, {});
  expect(found.ids).toEqual(["b", "c"]);
  expect(found.nodes?.[0]?.metadata).toMatchObject({ kind: "metal", n: 2 });
  expect(found.similarities[0]).toBeGreaterThan(found.similarities[1] as number);
  const filters = {
    filters: [
      { key: "kind", value: "metal", operator: FilterOperator.EQ },
      { key: "n", value: 1, operator: FilterOperator.GT },
    ],
  };
  expect((await store.query({ ...query, filters } as never, {})).ids).toEqual(["b"]);
  await store.delete("b");
  expect((await store.query(query as never, {})).ids).toEqual(["c", "a"]);
});
