import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Collection, checkDatabase } from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

/** What the script that writes test_data/ saw in a database. */
interface Expected {
  collections: { name: string; metadata: object | null; configuration: object; count: number; records?: object[] }[];
  nearest: { query: number[]; ids: string[] };
  filtered: string[];
  containing: string[];
}

const FOLDER = fileURLToPath(new URL("../test_data/", import.meta.url));

async function contentOf(collection: Collection): Promise<object[]> {
  const { ids, documents, metadatas, embeddings, uris } = await collection.get({
    include: ["documents", "metadatas", "embeddings", "uris"],
  });
  return ids.map((id, i) => ({
    id,
    document: documents[i],
    metadata: metadatas[i],
    embedding: Array.from(embeddings[i] as ArrayLike<number>),
    uri: uris[i],
  }));
}

describe.each(readdirSync(FOLDER).filter((name) => name.startsWith("format-")))("a database of %s", (format) => {
  const expected = JSON.parse(readFileSync(join(FOLDER, format, "expected.json"), "utf8")) as Expected;

  function copy(): string {
    const path = temporaryPath();
    cpSync(join(FOLDER, format, "db"), path, { recursive: true });
    return path;
  }

  test("is whole, and holds what was written to it", async () => {
    const path = copy();
    expect(await checkDatabase(path)).toMatchObject({ ok: true });
    const client = openClient(path, { readOnly: true });
    const listed = await client.listCollections();
    expect(listed.map(({ name }) => name).sort()).toEqual(expected.collections.map(({ name }) => name));
    for (const { name, metadata, configuration, count, records } of expected.collections) {
      const collection = await client.getCollection({ name });
      expect(collection.metadata ?? null).toEqual(metadata);
      expect(collection.configuration).toEqual(configuration);
      expect(await collection.count()).toBe(count);
      if (records !== undefined) expect(await contentOf(collection)).toEqual(records);
    }
    const plain = await client.getCollection({ name: "plain" });
    expect((await plain.get({ where: { page: { $gte: 3 } } })).ids).toEqual(expected.filtered);
    expect((await plain.get({ whereDocument: { $contains: "page 2" } })).ids).toEqual(expected.containing);
    const cosine = await client.getCollection({ name: "cosine" });
    const { query, ids } = expected.nearest;
    expect((await cosine.query({ queryEmbeddings: [query], nResults: ids.length })).ids[0]).toEqual(ids);
  });

  test("can be written to, compacted and opened again", async () => {
    const path = copy();
    const client = openClient(path);
    const plain = await client.getCollection({ name: "plain" });
    const count = await plain.count();
    await plain.add({ ids: ["new"], embeddings: [[1, 2, 3, 4]], documents: ["new"] });
    await plain.delete({ ids: [expected.filtered[0] as string] });
    await plain.compact();
    await client.close();
    expect(await checkDatabase(path)).toMatchObject({ ok: true });
    const again = await openClient(path).getCollection({ name: "plain" });
    expect(await again.count()).toBe(count);
    expect((await again.get({ ids: ["new"] })).documents).toEqual(["new"]);
  });
});
