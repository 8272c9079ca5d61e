import { expect } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { embedText } from "./word-embeddings.js";

testWith(["genkitx-chromadb"], "Genkit indexes and retrieves in a folder", async () => {
  const plugin = await import("genkitx-chromadb");
  const { configureGenkit, genkitPlugin } = await import("@genkit-ai/core");
  const { defineEmbedder } = await import("@genkit-ai/ai/embedder");
  const { Document, index, retrieve } = await import("@genkit-ai/ai/retriever");
  const collectionName = "docs";
  const clientParams = { path: temporaryPath() };
  const embedder = "words/words";
  const words = genkitPlugin("words", async () => ({
    embedders: [
      defineEmbedder({ name: embedder }, async (documents) => ({
        embeddings: documents.map((document) => ({ embedding: embedText(document.text()) })),
      })),
    ],
  }));
  const docs = { collectionName, clientParams, embedder, createCollectionIfMissing: true };
  configureGenkit({ plugins: [words(), plugin.chroma([docs])], logLevel: "error", enableTracingAndMetrics: false });
  const indexer = plugin.chromaIndexerRef({ collectionName });
  const retriever = plugin.chromaRetrieverRef({ collectionName });
  const documents = [
    Document.fromText("red apples", { kind: "fruit", nested: { n: 1 } }),
    Document.fromText("steel and iron"),
  ];
  await index({ indexer, documents });
  const include = ["documents", "metadatas"] as never;
  const found = await retrieve({ retriever, query: "iron", options: { k: 1, include } });
  expect(found.map((document) => document.text())).toEqual(["steel and iron"]);
  const fruit = await retrieve({ retriever, query: "iron", options: { k: 5, include, where: { kind: "fruit" } } });
  expect(fruit.map(({ metadata }) => metadata)).toEqual([{ kind: "fruit", "nested.n": 1 }]);

  const other = { collectionName: "other", clientParams };
  await plugin.createChromaCollection({ name: "other", embedder, ...other } as never);
  await plugin.deleteChromaCollection({ name: "other", ...other } as never);
});
