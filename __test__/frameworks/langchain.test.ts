import { existsSync } from "node:fs";
import { expect } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { embedText, embedTexts } from "./word-embeddings.js";

const PACKAGES = ["@langchain/community", "@langchain/core"];

const texts = ["red apples grow on trees", "steel is made of iron", "a letter to a friend"];

async function load() {
  const { Chroma } = await import("@langchain/community/vectorstores/chroma");
  const { Embeddings } = await import("@langchain/core/embeddings");
  const { Document } = await import("@langchain/core/documents");
  class WordEmbeddings extends Embeddings {
    embedDocuments = embedTexts;
    async embedQuery(text: string): Promise<number[]> {
      return embedText(text);
    }
  }
  return { Chroma, Document, embeddings: new WordEmbeddings({}) };
}

testWith(PACKAGES, "LangChain.js keeps documents in a folder, by the alias", async () => {
  const { Chroma, Document, embeddings } = await load();
  const path = temporaryPath();
  // Metadata as LangChain's text splitters and loaders make them: nested, and empty.
  const documents = [
    new Document({
      pageContent: texts[0] as string,
      metadata: { source: "a.txt", loc: { lines: { from: 1, to: 4 } } },
    }),
    new Document({
      pageContent: texts[1] as string,
      metadata: { source: "b.pdf", year: 2020, pdf: { info: { v: 1 } } },
    }),
    new Document({ pageContent: texts[2] as string, metadata: {} }),
  ];
  const store = await Chroma.fromDocuments(documents, embeddings, { collectionName: "docs", url: path });
  expect(existsSync(path)).toBe(true);

  const [[nearest, score] = []] = await store.similaritySearchWithScore("iron and steel", 1);
  expect(nearest?.pageContent).toBe(texts[1]);
  expect(nearest?.metadata).toEqual({ source: "b.pdf", year: 2020, "pdf.info.v": 1 });
  const [query, document] = [embedText("iron and steel"), embedText(texts[1] as string)];
  expect(score).toBeCloseTo(
    query.reduce((sum, value, i) => sum + (value - (document[i] as number)) ** 2, 0),
    5,
  );

  const [lines] = await store.similaritySearch("apples", 1);
  expect(lines?.metadata).toEqual({ source: "a.txt", loc: { lines: { from: 1, to: 4 } } });
  const both = await store.similaritySearch("steel", 3, { source: "b.pdf", year: { $gte: 2000, $lt: 2021 } } as never);
  expect(both.map(({ pageContent }) => pageContent)).toEqual([texts[1]]);
  expect(await store.similaritySearch("steel", 3, {})).toHaveLength(3);

  const ids = await store.addDocuments([new Document({ pageContent: "iron rusts", metadata: { n: 1 } })], {
    ids: ["rust"],
  });
  expect(ids).toEqual(["rust"]);
  await store.delete({ ids: ["rust"] });
  await store.delete({ filter: { source: "a.txt", "loc.lines.from": 9 } });
  await store.delete({ filter: { source: "a.txt" } });
  const retrieved = await store.asRetriever({ k: 5 }).invoke("anything");
  expect(retrieved.map(({ pageContent }) => pageContent).sort()).toEqual([texts[2], texts[1]]);

  const reopened = await Chroma.fromExistingCollection(embeddings, { collectionName: "docs", url: path });
  expect((await reopened.similaritySearch("letter", 1))[0]?.pageContent).toBe(texts[2]);
  await (store.index as { close(): Promise<void> }).close();
  await (reopened.index as { close(): Promise<void> }).close();
});

testWith(PACKAGES, "LangChain.js takes a client of ours as its index", async () => {
  const { Chroma, embeddings } = await load();
  const { ChromaClient } = await import("chromadb");
  const index = new ChromaClient({ path: null });
  const store = await Chroma.fromTexts(texts, [{ n: 1 }, { n: 2 }, { n: 3 }], embeddings, {
    collectionName: "texts",
    collectionMetadata: { "hnsw:space": "cosine" },
    index,
  });
  expect((await store.similaritySearch("a friend", 1, { n: 3 }))[0]?.pageContent).toBe(texts[2]);
  expect((await index.getCollection({ name: "texts" })).configuration.hnsw?.space).toBe("cosine");
  await index.close();
});
