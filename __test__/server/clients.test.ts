import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AdminClient, ChromaClient, Collection } from "../../index.js";
import { type ChromaServer, serve } from "../../src/server.js";

const clients = new URL("../clients/", import.meta.url);
const TOKEN = "a token that nobody guesses";

/** A package of Chroma's, as far as these tests use it: its API is ours. */
interface Package {
  ChromaClient: new (args: object) => ChromaClient;
  AdminClient: new (args: object) => AdminClient;
}

/** The package, or null where it is not installed. */
async function load(name: string): Promise<Package | null> {
  if (!existsSync(new URL(`node_modules/${name}/package.json`, clients))) {
    console.warn(`${name} is not installed (npm ci --prefix __test__/clients): its tests are skipped`);
    return null;
  }
  const path = createRequire(new URL("package.json", clients)).resolve(name);
  return (await import(pathToFileURL(path).href)) as Package;
}

const current = await load("chromadb");
const old = await load("chromadb-1");

let server: ChromaServer;
let guarded: ChromaServer;
beforeAll(async () => {
  server = await serve({ path: null, port: 0, allowReset: true });
  guarded = await serve({ path: null, port: 0, allowReset: true, tokens: [TOKEN] });
});
afterAll(async () => {
  await server.close();
  await guarded.close();
});
beforeEach(async () => {
  await fetch(`${server.url}/api/v2/reset`, { method: "POST" });
});

describe.skipIf(current === null)("the stock chromadb 3.5.0", () => {
  const { ChromaClient, AdminClient } = (current ?? {}) as Package;
  let client: ChromaClient;
  let collection: Collection;

  beforeEach(async () => {
    client = new ChromaClient({ host: server.host, port: server.port });
    collection = await client.createCollection({ name: "notes", embeddingFunction: null, metadata: { i: 1, f: 0.5 } });
  });

  const fill = (): Promise<void> =>
    collection.add({
      ids: ["a", "b", "c"],
      embeddings: [
        [0.1, 0.2],
        [3, 4],
        [-1, 1e-7],
      ],
      documents: ["iron oxide", "a letter", "chromium steel"],
      metadatas: [{ n: 1, tags: ["x", "y"] }, { n: 2.5 }, null as never],
      uris: ["u:a", "u:b", "u:c"],
    });

  test("asks who and where it is", async () => {
    expect(await client.heartbeat()).toBeGreaterThan(1.6e18);
    expect(await client.version()).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await client.getUserIdentity()).toEqual({
      user_id: "",
      tenant: "default_tenant",
      databases: ["default_database"],
    });
    expect(await client.getMaxBatchSize()).toBe(100_000);
    expect(await client.supportsBase64Encoding()).toBe(true);
  });

  test("creates, lists, finds, changes and deletes collections", async () => {
    const spaced = await client.createCollection({
      name: "spaced",
      embeddingFunction: null,
      configuration: { hnsw: { space: "cosine", ef_search: 50 } },
    });
    expect(spaced.configuration.hnsw).toMatchObject({ space: "cosine", ef_search: 50, max_neighbors: 16 });
    expect(collection.metadata).toEqual({ i: 1, f: 0.5 });
    expect((await client.listCollections()).map(({ name }) => name).sort()).toEqual(["notes", "spaced"]);
    expect((await client.listCollections({ limit: 1, offset: 1 })).length).toBe(1);
    expect(await client.countCollections()).toBe(2);
    expect((await client.getOrCreateCollection({ name: "notes", metadata: { other: 1 } })).metadata).toEqual({
      i: 1,
      f: 0.5,
    });
    expect((await client.getCollectionById(collection.id)).name).toBe("notes");
    await collection.modify({ name: "renamed", metadata: { a: "b" }, configuration: { hnsw: { ef_search: 7 } } });
    const renamed = await client.getCollection({ name: "renamed" });
    expect(renamed.metadata).toEqual({ a: "b" });
    expect(renamed.configuration.hnsw).toMatchObject({ ef_search: 7, space: "l2" });
    await client.deleteCollection({ name: "renamed" });
    await expect(client.getCollection({ name: "renamed" })).rejects.toThrow(
      "The requested resource could not be found",
    );
  });

  test("writes and reads records", async () => {
    await fill();
    expect(await collection.count()).toBe(3);
    const all = await collection.get({ include: ["embeddings", "documents", "metadatas", "uris"] });
    expect(all.ids).toEqual(["a", "b", "c"]);
    expect(all.embeddings).toEqual([
      [0.1, 0.2],
      [3, 4],
      [-1, 1e-7],
    ]);
    expect(all.metadatas).toEqual([{ n: 1, tags: ["x", "y"] }, { n: 2.5 }, null]);
    expect(all.uris).toEqual(["u:a", "u:b", "u:c"]);
    expect((await collection.peek({ limit: 2 })).ids).toEqual(["a", "b"]);
    expect((await collection.get({ where: { n: { $gt: 1 } } })).ids).toEqual(["b"]);
    expect((await collection.get({ whereDocument: { $contains: "steel" } })).ids).toEqual(["c"]);
    await collection.update({ ids: ["a"], metadatas: [{ n: 7 }], documents: ["rust"], embeddings: [[1, 1]] });
    await collection.upsert({
      ids: ["c", "d"],
      embeddings: [
        [9, 9],
        [8, 8],
      ],
      documents: ["changed", "new"],
    });
    const changed = await collection.get({ ids: ["a", "d", "c"] });
    expect(changed.documents).toEqual(["rust", "changed", "new"]);
    expect(changed.metadatas[0]).toEqual({ n: 7, tags: ["x", "y"] });
    expect(await collection.delete({ ids: ["a"] })).toEqual({ deleted: 1 });
    expect(await collection.delete({ where: { n: 2.5 } })).toEqual({ deleted: 1 });
    expect((await collection.get()).ids).toEqual(["c", "d"]);
  });

  test("finds the nearest records", async () => {
    await fill();
    const found = await collection.query({
      queryEmbeddings: [
        [3, 4],
        [0, 0],
      ],
      nResults: 2,
    });
    expect(found.ids).toEqual([
      ["b", "a"],
      ["a", "c"],
    ]);
    expect(found.distances[0]).toEqual([0, 22.85]);
    expect(found.documents[1]).toEqual(["iron oxide", "chromium steel"]);
    expect(found.rows()[0]?.[0]).toMatchObject({ id: "b", document: "a letter", distance: 0 });
    const filtered = await collection.query({ queryEmbeddings: [[3, 4]], where: { n: 1 }, include: ["embeddings"] });
    expect(filtered.ids).toEqual([["a"]]);
    expect(filtered.embeddings).toEqual([[[0.1, 0.2]]]);
  });

  test("has Chroma's error classes", async () => {
    await fill();
    const thrown = async (work: Promise<unknown>): Promise<string> => {
      const error = await work.then(
        () => new Error("nothing was thrown"),
        (failure) => failure,
      );
      return `${error.name}: ${error.message}`;
    };
    expect(await thrown(client.createCollection({ name: "notes" }))).toBe(
      "ChromaUniqueError: The resource already exists",
    );
    expect(await thrown(collection.query({ queryEmbeddings: [[1, 2, 3]] }))).toMatch(
      /^ChromaClientError: Bad request to .* with status: Collection expecting embedding with dimension of 2, got 3/,
    );
    expect(await thrown(client.getCollection({ name: "none" }))).toMatch(/^ChromaNotFoundError/);
    expect(await thrown(collection.query({ queryEmbeddings: [[1, 2]], ids: ["zz"] }))).toContain("Error finding id");
    expect(await thrown(collection.add({ ids: ["e"], embeddings: [[1, Number.NaN]] }))).toContain(
      "Non-finite float value",
    );
    const stale = await client.getCollection({ name: "notes" });
    await client.deleteCollection({ name: "notes" });
    expect(await thrown(stale.count())).toMatch(/^ChromaNotFoundError/);
    expect(await thrown(stale.add({ ids: ["e"], embeddings: [[1, 2]] }))).toMatch(/^ChromaNotFoundError/);
  });

  test("manages tenants and databases", async () => {
    const admin = new AdminClient({ host: server.host, port: server.port });
    await admin.createTenant({ name: "acme" });
    expect(await admin.getTenant({ name: "acme" })).toBe("acme");
    await admin.createDatabase({ name: "archive", tenant: "acme" });
    expect((await admin.listDatabases({ tenant: "acme" })).map(({ name }) => name)).toEqual(["archive"]);
    const other = new ChromaClient({ host: server.host, port: server.port, tenant: "acme", database: "archive" });
    await other.createCollection({ name: "notes", embeddingFunction: null });
    expect(await other.countCollections()).toBe(1);
    await admin.deleteDatabase({ name: "archive", tenant: "acme" });
    expect(await other.listCollections()).toEqual([]);
  });

  test("is told how much is indexed", async () => {
    await fill();
    expect((await collection.getIndexingStatus()).total_ops).toBe(3);
  });

  test("forks", async () => {
    await fill();
    const fork = await collection.fork({ name: "forked" });
    expect([fork.name, await fork.count(), await fork.forkCount()]).toEqual(["forked", 3, 1]);
    await fork.delete({ ids: ["a"] });
    expect([await fork.count(), await collection.count()]).toEqual([2, 3]);
    await expect(collection.fork({ name: "forked" })).rejects.toMatchObject({ name: "ChromaUniqueError" });
  });

  test("many at once", async () => {
    await fill();
    const many = Array.from({ length: 300 }, (_, i) => collection.query({ queryEmbeddings: [[i, 0]], nResults: 1 }));
    expect((await Promise.all(many)).every(({ ids }) => ids[0]?.length === 1)).toBe(true);
  });

  test("needs the token where the server has one", async () => {
    const at = { host: guarded.host, port: guarded.port };
    await expect(new ChromaClient(at).listCollections()).rejects.toMatchObject({ name: "ChromaAuthError" });
    for (const headers of [{ "x-chroma-token": TOKEN }, { authorization: `Bearer ${TOKEN}` }]) {
      expect(await new ChromaClient({ ...at, headers }).listCollections()).toEqual([]);
    }
  });
});

describe.skipIf(old === null)("the stock chromadb 1.10.3", () => {
  const { ChromaClient, AdminClient } = (old ?? {}) as Package;
  /** Its clients take an embedding function always. */
  const embeddingFunction = {
    generate: async (texts: string[]): Promise<number[][]> => texts.map((text) => [text.length, 1]),
  };

  test("writes, reads and finds records", async () => {
    const client = new ChromaClient({ path: server.url });
    expect(await client.heartbeat()).toBeGreaterThan(1.6e18);
    const collection = await client.getOrCreateCollection({ name: "old", embeddingFunction } as never);
    await collection.add({ ids: ["a", "b"], documents: ["one", "twelve"], metadatas: [{ n: 1 }, { n: 2 }] });
    expect(await collection.count()).toBe(2);
    expect((await collection.get({ where: { n: 2 } })).documents).toEqual(["twelve"]);
    const found = await collection.query({ queryTexts: ["six"], nResults: 1 });
    expect(found.ids).toEqual([["a"]]);
    await collection.upsert({ ids: ["a"], embeddings: [[9, 9]], documents: ["changed"] });
    await collection.update({ ids: ["b"], metadatas: [{ n: 3 }] });
    await collection.modify({ name: "older", metadata: { x: "y" } });
    await collection.delete({ ids: ["b"] });
    expect((await collection.get()).documents).toEqual(["changed"]);
    expect(await client.countCollections()).toBe(1);
    await client.deleteCollection({ name: "older" });
  });

  test("manages tenants and databases, with a token", async () => {
    const auth = { provider: "token", credentials: TOKEN, tokenHeaderType: "X_CHROMA_TOKEN" };
    const admin = new AdminClient({ path: guarded.url, auth });
    const name = `tenant-${Date.now()}`;
    await admin.createTenant({ name });
    await admin.createDatabase({ name: "archive", tenantName: name } as never);
    const client = new ChromaClient({ path: guarded.url, auth, tenant: name, database: "archive" });
    await client.createCollection({ name: "notes", embeddingFunction } as never);
    expect(await client.countCollections()).toBe(1);
  });
});

/** Python with Chroma's client, or null. */
function findPython(): string | null {
  const python = process.env.FERROCHROME_PYTHON ?? "python3";
  const { status } = spawnSync(python, [
    "-c",
    "import importlib.util as u, sys; sys.exit(u.find_spec('chromadb') is None)",
  ]);
  if (status === 0) return python;
  console.warn(
    `${python} has no chromadb (pip install chromadb==1.5.9; FERROCHROME_PYTHON names a Python): its test is skipped`,
  );
  return null;
}

const python = findPython();

test.skipIf(python === null)("the Python client", { timeout: 60_000 }, async () => {
  const script = fileURLToPath(new URL("python_client.py", clients));
  const run = promisify(execFile);
  const { stdout } = await run(python as string, [script, guarded.host, String(guarded.port), TOKEN]);
  expect(stdout).toBe("done\n");
});
