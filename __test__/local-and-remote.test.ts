import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type ChromaClient, EphemeralClient, HttpClient, Schema, StringInvertedIndexConfig } from "../index.js";

const server = new URL("../src/server.ts", import.meta.url).href;
const missing = existsSync(fileURLToPath(server)) ? undefined : "there is no server in src/server.ts";

const lengths = { generate: async (texts: string[]) => texts.map((text) => [text.length, 1]) };

/** What went wrong, without the address that only a server has. */
function failureOf({ name, message }: Error): unknown {
  return { name, message: message.replace(/^Bad request to \S+ with/, "Bad request with") };
}

/** Does much of what the API offers, and returns all that it answered. */
async function work(client: ChromaClient): Promise<unknown[]> {
  const answers: unknown[] = [];
  const note = async (answer: Promise<unknown>): Promise<void> => {
    answers.push(await answer.catch(failureOf));
  };
  const schema = new Schema().deleteIndex(new StringInvertedIndexConfig(), "html");
  const indexed = await client.createCollection({ name: "indexed", embeddingFunction: null, schema });
  answers.push(indexed.schema?.serializeToJSON(), indexed.metadata, indexed.embeddingFunction);
  await note(indexed.get({ where: { html: "x" } }));
  const notes = await client.createCollection({
    name: "notes",
    embeddingFunction: lengths,
    metadata: { a: 1 },
  });
  answers.push(notes.name, notes.metadata, notes.configuration, notes.schema?.serializeToJSON());
  await note(notes.add({ ids: ["a", "b"], documents: ["x", "four"], metadatas: [{ n: 1.5, tags: ["t", "u"] }, null] }));
  await note(notes.upsert({ ids: ["c"], embeddings: Float32Array.of(0.1, 0.2), dimension: 2, uris: ["file:c"] }));
  await note(notes.update({ ids: ["a"], metadatas: [{ m: true }] }));
  await note(notes.count());
  await note(notes.get({ include: ["documents", "metadatas", "embeddings", "uris"] }).then((result) => result.rows()));
  await note(notes.get({ where: { n: { $gt: 1 } }, limit: 1 }).then((result) => result.rows()));
  await note(notes.peek({ limit: 1 }));
  await note(notes.query({ queryTexts: ["abc"], nResults: 2 }).then((result) => result.rows()));
  await note(notes.query({ queryEmbeddings: [[1, 1]], whereDocument: { $contains: "o" }, include: ["uris"] }));
  await note(notes.query({ queryEmbeddings: [[1, 1, 1]] }));
  await note(notes.add({ ids: ["a", "a"], documents: ["x", "y"] }));
  await note(notes.delete({ where: { m: true } }));
  await note(notes.modify({ name: "renamed", metadata: { b: 2 }, configuration: { hnsw: { ef_search: 7 } } }));
  answers.push(notes.name, notes.metadata, notes.configuration.hnsw);
  await note(client.createCollection({ name: "renamed", embeddingFunction: null }));
  await note(client.createCollection({ name: "x", embeddingFunction: null }));
  await note(client.getCollection({ name: "none" }));
  await note(client.getOrCreateCollection({ name: "renamed" }).then((same) => [same.id === notes.id, same.metadata]));
  await note(client.collection(notes.id).count());
  await note(client.listCollections().then((all) => all.map(({ name }) => name).sort()));
  await note(client.countCollections());
  await note(client.deleteCollection({ name: "renamed" }));
  await note(notes.count());
  return answers;
}

const name = "a client of a server gets the answers that a local one gets";

test.skipIf(missing !== undefined)(missing === undefined ? name : `${name} (skipped: ${missing})`, async () => {
  const { serve } = await import(server);
  const started: { url: string; close(): Promise<void> } = await serve({ path: null, port: 0, parity: "extended" });
  try {
    await using local = EphemeralClient();
    const { port } = new URL(started.url);
    expect(await work(HttpClient({ host: "127.0.0.1", port: Number(port) }))).toEqual(await work(local));
  } finally {
    await started.close();
  }
});
