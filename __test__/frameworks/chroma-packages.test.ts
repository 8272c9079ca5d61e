import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, vi } from "vitest";
import { temporaryPath } from "../support/folder.js";
import { testWith } from "./installed.js";
import { startOpenAi } from "./openai-server.js";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

testWith(["chromadb-original"], "the stand-in exports the values of chromadb 3.5.0, and no others", async () => {
  const original = await import("chromadb-original");
  const standIn = await import("chromadb");
  expect(Object.keys(standIn).sort()).toEqual(Object.keys(original).sort());
  for (const [name, value] of Object.entries(original)) {
    expect([name, typeof standIn[name as keyof typeof standIn]]).toEqual([name, typeof value]);
  }
});

testWith(["chromadb-original"], "the stand-in exports the types of chromadb 3.5.0, and no others", async () => {
  const exportedTypes = (file: string): string[] => {
    const text = readFileSync(here(file), "utf8");
    return [...text.matchAll(/export (type )?\{([^}]*)\}/g)]
      .flatMap(([, all, names = ""]) =>
        names
          .split(",")
          .map((name) => name.trim())
          .filter((name) => name !== "" && (all || name.startsWith("type ")))
          .map((name) => name.replace(/^type /, "")),
      )
      .sort();
  };
  const expected = exportedTypes("node_modules/chromadb-original/dist/chromadb.d.ts");
  expect(expected.length).toBeGreaterThan(40);
  expect(exportedTypes("../../packages/chromadb/dist/index.d.ts")).toEqual(expected);
});

testWith(["@chroma-core/openai"], "Chroma's embedding packages register themselves with ours", async () => {
  const { url, asked } = await startOpenAi();
  vi.stubEnv("TEST_OPENAI_KEY", "key");
  const { OpenAIEmbeddingFunction } = await import("@chroma-core/openai");
  const { ChromaClient, knownEmbeddingFunctions } = await import("chromadb");
  const ours = await import("ferrochrome");
  expect(ours.knownEmbeddingFunctions).toBe(knownEmbeddingFunctions);
  expect(knownEmbeddingFunctions.get("openai")).toBe(OpenAIEmbeddingFunction);

  const path = temporaryPath();
  const args = { modelName: "m", apiKeyEnvVar: "TEST_OPENAI_KEY", apiBase: url };
  const embeddingFunction = new OpenAIEmbeddingFunction(args as never);
  const client = new ChromaClient({ path });
  const collection = await client.createCollection({ name: "notes", embeddingFunction });
  await collection.add({ ids: ["a", "b"], documents: ["red apples", "steel and iron"] });
  await client.close();

  // Another client finds the function by what is stored.
  const again = ours.PersistentClient({ path });
  const notes = await again.getCollection({ name: "notes" });
  expect(notes.embeddingFunction).toBeInstanceOf(OpenAIEmbeddingFunction);
  expect(notes.configuration.embedding_function).toMatchObject({ type: "known", name: "openai" });
  await again.close();
  expect(asked).toHaveLength(1);
});
