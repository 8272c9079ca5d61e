import { describe, expect, test } from "vitest";
import {
  AdminClient,
  ChromaClient,
  CollectionHandle,
  EphemeralClient,
  PersistentClient,
  registerEmbeddingFunction,
} from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

describe("making a client", () => {
  test("works with and without new", async () => {
    const path = temporaryPath();
    for (const client of [
      new PersistentClient({ path }),
      PersistentClient({ path }),
      new ChromaClient({ path }),
      new EphemeralClient(),
      EphemeralClient(),
    ]) {
      expect(client).toBeInstanceOf(ChromaClient);
      expect(client.tenant).toBe("default_tenant");
      expect(client.database).toBe("default_database");
      await client.close();
    }
    expect(PersistentClient({ path })).toBeInstanceOf(PersistentClient);
    expect(EphemeralClient()).toBeInstanceOf(EphemeralClient);
  });

  test("asks for one database, not two", () => {
    for (const args of [
      { path: "./db", ssl: true },
      { path: null, host: "localhost" },
    ]) {
      expect(() => new ChromaClient(args)).toThrow("Give either `path`, the folder of a local database, or the `host`");
    }
    expect(() => new PersistentClient({ path: "http://localhost:8000" })).toThrow("is the URL of a server");
    expect(() => new PersistentClient({ path: "./db", host: "localhost" } as never)).toThrow("Give either `path`");
  });

  test.each([[""], ["a\0b"], [7]])("refuses the path %j", (path) => {
    expect(() => new PersistentClient({ path: path as string })).toThrow("Expected 'path' to be the path of a folder");
  });

  test.each([
    [{ durability: "best" }, "Expected 'durability' to be one of normal, full, but got best"],
    [{ compression: "gzip" }, "Expected 'compression' to be one of none, lz4, zstd, but got gzip"],
    [{ threads: 0 }, "Expected 'threads' to be a positive integer, but got 0"],
    [{ sealRows: 1.5 }, "Expected 'sealRows' to be a positive integer, but got 1.5"],
    [{ readOnly: "yes" }, "Expected 'readOnly' to be a boolean, but got string"],
    [{ readOnly: true, follow: 1 }, "Expected 'follow' to be a boolean, but got number"],
    [{ follow: true }, "'follow' is for readers of what another process writes: pass readOnly: true with it"],
    [{ allowNetworkFileSystem: 1 }, "Expected 'allowNetworkFileSystem' to be a boolean, but got number"],
  ])("refuses the options %j", (options, message) => {
    expect(() => new PersistentClient({ path: "./db", ...(options as object) })).toThrow(message);
  });

  test("takes file URLs", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    await client.createCollection({ name: "here", embeddingFunction: null });
    const { pathToFileURL } = await import("node:url");
    const same = new PersistentClient({ path: pathToFileURL(path) });
    expect(await same.countCollections()).toBe(1);
    await same.close();
  });

  test("takes tenant and database from the environment only where they are given and empty", () => {
    const path = temporaryPath();
    process.env.CHROMA_TENANT = "their_tenant";
    process.env.CHROMA_DATABASE = "their_database";
    try {
      expect(new PersistentClient({ path, tenant: "", database: "" })).toMatchObject({
        tenant: "their_tenant",
        database: "their_database",
      });
      expect(new PersistentClient({ path })).toMatchObject({ tenant: "default_tenant", database: "default_database" });
      expect(EphemeralClient()).toMatchObject({ tenant: "default_tenant", database: "default_database" });
      expect(EphemeralClient({ database: "mine" }).database).toBe("mine");
    } finally {
      delete process.env.CHROMA_TENANT;
      delete process.env.CHROMA_DATABASE;
    }
    expect(new PersistentClient({ path, tenant: "", database: "" }).tenant).toBe("default_tenant");
  });
});

describe("a client", () => {
  test("tells about itself as a server does", async () => {
    await using client = EphemeralClient();
    const heartbeat = await client.heartbeat();
    expect(Math.abs(heartbeat / 1e6 - Date.now())).toBeLessThan(10_000);
    expect(await client.version()).toMatch(/^\d+\.\d+\.\d+/);
    expect(client.preflightChecks).toBeUndefined();
    expect(await client.getMaxBatchSize()).toBe(100_000);
    expect(await client.supportsBase64Encoding()).toBe(true);
    expect(client.preflightChecks).toEqual({ max_batch_size: 100_000, supports_base64_encoding: true });
    expect(client.headers).toBeUndefined();
    expect(await client.stats()).toEqual({
      collections: 0,
      segments: 0,
      records: 0,
      index: { open: 0, resident: 0, bytes: 0, budget: 2 ** 31, hits: 0, misses: 0, evictions: 0 },
      vectorCache: { bytes: 0, budget: 2 ** 28 },
    });
    expect(await client.getUserIdentity()).toEqual({
      user_id: "",
      tenant: "default_tenant",
      databases: ["default_database"],
    });
  });

  test("creates, finds, lists and deletes collections", async () => {
    await using client = EphemeralClient();
    const created = await client.createCollection({ name: "one", embeddingFunction: null, metadata: { topic: "x" } });
    expect(created).toMatchObject({
      name: "one",
      tenant: "default_tenant",
      database: "default_database",
      metadata: { topic: "x" },
    });
    expect(created.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    await client.createCollection({ name: "two", embeddingFunction: null });

    expect((await client.getCollection({ name: "one" })).id).toBe(created.id);
    expect((await client.getCollectionById(created.id)).name).toBe("one");
    expect((await client.getCollections(["two", "one"])).map((c) => c.name)).toEqual(["two", "one"]);
    expect((await client.getCollections([{ name: "one" }])).map((c) => c.name)).toEqual(["one"]);
    expect(await client.getCollections([])).toEqual([]);
    expect(await client.countCollections()).toBe(2);

    const listed = await client.listCollections();
    expect(listed.map((c) => c.name).sort()).toEqual(["one", "two"]);
    expect(listed.map((c) => c.id)).toEqual(listed.map((c) => c.id).sort());
    expect(await client.listCollections({ limit: 1, offset: 1 })).toMatchObject([{ id: listed[1]?.id }]);
    expect(await client.listCollections({ limit: null, offset: null })).toHaveLength(2);
    expect(await client.listCollections({ offset: Number.MAX_SAFE_INTEGER })).toEqual([]);

    await client.deleteCollection({ name: "one" });
    expect(await client.countCollections()).toBe(1);
    await expect(created.count()).rejects.toMatchObject({ name: "ChromaNotFoundError" });
  });

  test("reports what is missing and what is there already", async () => {
    await using client = EphemeralClient();
    await client.createCollection({ name: "one", embeddingFunction: null });
    await expect(client.createCollection({ name: "one" })).rejects.toMatchObject({
      name: "ChromaUniqueError",
      message: "The resource already exists",
      cause: { message: "Collection [one] already exists" },
    });
    const outcomes = await Promise.allSettled([
      client.getCollection({ name: "none" }),
      client.deleteCollection({ name: "none" }),
      client.getCollections(["one", "none"]),
      client.getCollectionById("00000000-0000-4000-8000-000000000000"),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: {
          name: "ChromaNotFoundError",
          message: "The requested resource could not be found",
          cause: { message: expect.stringContaining("does not exist") },
        },
      });
    }
    await expect(client.getCollectionById("not-a-uuid")).rejects.toMatchObject({
      name: "ChromaClientError",
      message: "Bad request to collections/not-a-uuid with status: Collection ID is not a valid UUIDv4",
    });
    await expect(client.getCollectionByCrn("t:d:c")).rejects.toMatchObject({ name: "ChromaServerError" });
  });

  test("get or create keeps what exists as it is", async () => {
    await using client = EphemeralClient();
    const first = await client.getOrCreateCollection({ name: "one", embeddingFunction: null, metadata: { a: 1 } });
    const second = await client.getOrCreateCollection({
      name: "one",
      embeddingFunction: null,
      metadata: { b: 2 },
      configuration: { hnsw: { space: "ip" } },
    });
    expect(second).toMatchObject({ id: first.id, metadata: { a: 1 }, configuration: { hnsw: { space: "l2" } } });
  });

  test.each([
    [{ name: "x" }, "Validation error: name: Expected a name containing 3-512 characters"],
    [{ name: "abc", metadata: {} }, "Metadata cannot be empty"],
    [{ name: "abc", metadata: { a: null } }, "Metadata cannot be empty"],
    [{ name: "abc", metadata: { "#a": 1 } }, "Metadata key cannot start with '#' or '$': #a"],
    [{ name: "abc", metadata: { a: 1, $b: 1 } }, "Metadata key cannot start with '#' or '$': $b"],
    [{ name: "abc", metadata: { "": 1 } }, "Metadata key cannot start with '#' or '$': "],
    [{ name: "abc", configuration: { hnsw: { M: 1 } } }, "unknown field `M`"],
    [{ name: "abc", configuration: { spann: { M: 1 } } }, "unknown field `M`"],
  ])("refuses to create %j", async (args, message) => {
    await using client = EphemeralClient();
    await expect(client.createCollection({ embeddingFunction: null, ...(args as { name: string }) })).rejects.toThrow(
      message,
    );
    expect(await client.countCollections()).toBe(0);
  });

  test("keeps hnsw:* metadata as they were given, and obeys them", async () => {
    await using client = EphemeralClient();
    const metadata = { "hnsw:space": "cosine", "hnsw:M": 128, "hnsw:construction_ef": 128 };
    const collection = await client.createCollection({ name: "legacy", embeddingFunction: null, metadata });
    expect(collection.metadata).toEqual(metadata);
    expect(collection.configuration.hnsw).toMatchObject({ space: "cosine", max_neighbors: 128, ef_construction: 128 });
    await collection.add({ ids: ["a"], embeddings: [[0, 2]] });
    expect((await collection.query({ queryEmbeddings: [[0, 7]] })).distances[0]?.[0]).toBeCloseTo(0, 6);
  });

  test("the configuration has the server's keys", async () => {
    await using client = EphemeralClient();
    const { configuration } = await client.createCollection({ name: "plain" });
    expect(configuration).toEqual({
      hnsw: {
        space: "l2",
        ef_construction: 100,
        ef_search: 100,
        max_neighbors: 16,
        resize_factor: 1.2,
        sync_threshold: 1000,
      },
      spann: null,
      embedding_function: { type: "known", name: "default", config: {} },
    });
  });

  test("reset deletes everything and goes on", async () => {
    await using client = EphemeralClient();
    const old = await client.createCollection({ name: "one", embeddingFunction: null });
    await client.reset();
    expect(await client.countCollections()).toBe(0);
    await expect(old.count()).rejects.toMatchObject({ name: "ChromaNotFoundError" });
    const fresh = await client.createCollection({ name: "one", embeddingFunction: null });
    expect(fresh.id).not.toBe(old.id);
    await fresh.add({ ids: ["a"], embeddings: [[1]] });
    expect(await fresh.count()).toBe(1);
  });

  test("memories are apart, clients of one folder share it", async () => {
    await using one = EphemeralClient();
    await using two = EphemeralClient();
    await one.createCollection({ name: "one", embeddingFunction: null });
    expect(await two.countCollections()).toBe(0);

    const path = temporaryPath();
    const first = openClient(path);
    const second = openClient(path);
    const collection = await first.createCollection({ name: "shared", embeddingFunction: null });
    await collection.add({ ids: ["a"], embeddings: [[1]] });
    await first.close();
    const same = await second.getCollection({ name: "shared" });
    expect(await same.count()).toBe(1);
  });

  test("creating and reading a collection loads nothing, whatever its stored function", async () => {
    await using client = EphemeralClient();
    const loaded: string[] = [];
    class Spy {
      async generate(): Promise<number[][]> {
        return [];
      }
      static buildFromConfig(config: { url: string }): Spy {
        loaded.push(config.url);
        return new Spy();
      }
    }
    registerEmbeddingFunction("spy", Spy);
    const stored = { name: "spy", getConfig: () => ({ url: "http://evil" }), generate: async () => [] };
    Object.defineProperty(stored, "constructor", { value: Spy });
    await client.createCollection({ name: "stored", embeddingFunction: stored });
    const collection = await client.getCollection({ name: "stored" });
    await client.listCollections();
    await collection.add({ ids: ["a"], embeddings: [[1]] });
    await collection.query({ queryEmbeddings: [[1]] });
    expect(loaded).toEqual([]);
    expect(collection.embeddingFunction).toBeInstanceOf(Spy);
    expect(loaded).toEqual(["http://evil"]);
  });
});

describe("a handle", () => {
  test("works on vectors without a lookup", async () => {
    await using client = EphemeralClient();
    const { id } = await client.createCollection({ name: "one", embeddingFunction: null });
    const handle = client.collection(id);
    expect(handle).toBeInstanceOf(CollectionHandle);
    expect(handle).toMatchObject({ name: "", configuration: {}, metadata: undefined, schema: undefined });
    await handle.add({ ids: ["a"], embeddings: [[1, 2]], documents: ["x"] });
    await handle.upsert({ ids: ["a"], embeddings: [[1, 3]] });
    await handle.update({ ids: ["a"], metadatas: [{ n: 1 }] });
    expect((await handle.query({ queryEmbeddings: [[1, 3]] })).distances).toEqual([[0]]);
    expect(await handle.delete({ ids: ["a"] })).toEqual({ deleted: 1 });
  });

  test("refuses what needs an embedding function, and changes", async () => {
    const handle = EphemeralClient().collection("00000000-0000-4000-8000-000000000000");
    const outcomes = await Promise.allSettled([
      handle.add({ ids: ["a"], documents: ["x"] }),
      handle.upsert({ ids: ["a"], documents: ["x"] }),
      handle.update({ ids: ["a"], documents: ["x"] }),
      handle.query({ queryTexts: ["x"] }),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: {
          name: "ChromaValueError",
          message: expect.stringContaining(
            "requires an embedding function, which is not available on a collection obtained via client.collection(id)",
          ),
        },
      });
    }
    await expect(handle.modify({ name: "new" })).rejects.toThrow(
      "modify() is not supported on a collection obtained via client.collection(id). Use client.getCollection() to get a full collection instance.",
    );
    await expect(handle.fork({ name: "new" })).rejects.toThrow("fork() is not supported on a collection");
  });
});

describe("the admin client", () => {
  test("manages tenants and databases of a client's database", async () => {
    await using client = EphemeralClient();
    const admin = new AdminClient(client);
    await admin.createTenant({ name: "tenant" });
    expect(await admin.getTenant({ name: "tenant" })).toBe("tenant");
    await expect(admin.createTenant({ name: "tenant" })).rejects.toMatchObject({ name: "ChromaUniqueError" });
    await expect(admin.getTenant({ name: "missing" })).rejects.toMatchObject({ name: "ChromaNotFoundError" });
    await expect(admin.createTenant({ name: "t" })).rejects.toThrow("at least 3 characters");

    await admin.createDatabase({ name: "two", tenant: "tenant" });
    await admin.createDatabase({ name: "one", tenant: "tenant" });
    await expect(admin.createDatabase({ name: "one", tenant: "tenant" })).rejects.toMatchObject({
      name: "ChromaUniqueError",
    });
    const one = await admin.getDatabase({ name: "one", tenant: "tenant" });
    expect(one).toMatchObject({ name: "one", tenant: "tenant", id: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect((await admin.listDatabases({ tenant: "tenant" })).map((d) => d.name)).toEqual(["one", "two"]);
    expect(await admin.listDatabases({ tenant: "tenant", limit: 1, offset: 1 })).toMatchObject([{ name: "two" }]);
    expect(await admin.getDatabase({ name: "default_database", tenant: "default_tenant" })).toMatchObject({
      id: "00000000-0000-0000-0000-000000000000",
    });

    expect(await admin.listDatabases({ tenant: "tenant", limit: null, offset: null })).toHaveLength(2);

    await admin.deleteDatabase({ name: "one", tenant: "tenant" });
    await expect(admin.getDatabase({ name: "one", tenant: "tenant" })).rejects.toMatchObject({
      name: "ChromaNotFoundError",
    });
    await admin.close();
    expect(await client.countCollections()).toBe(0);
  });

  test("databases keep their collections apart", async () => {
    const path = temporaryPath();
    await using admin = new AdminClient({ path });
    await admin.createDatabase({ name: "other", tenant: "default_tenant" });
    const here = openClient(path);
    const there = openClient(path, { database: "other" });
    await here.createCollection({ name: "same", embeddingFunction: null });
    const collection = await there.createCollection({ name: "same", embeddingFunction: null });
    expect(collection.database).toBe("other");
    expect(await here.countCollections()).toBe(1);
    await admin.deleteDatabase({ name: "other", tenant: "default_tenant" });
    await expect(collection.count()).rejects.toMatchObject({ name: "ChromaNotFoundError" });
    expect(await here.countCollections()).toBe(1);
    expect(await there.listCollections()).toEqual([]);
    await expect(there.createCollection({ name: "new", embeddingFunction: null })).rejects.toThrow(
      "Database [other] does not exist",
    );
  });

  test("refuses arguments that are no names", async () => {
    await using client = EphemeralClient();
    const admin = new AdminClient(client);
    const one = { name: 1, tenant: "default_tenant" } as never;
    const nobody = { name: "default_database" } as never;
    const outcomes = await Promise.allSettled([
      ...[one, nobody].flatMap((args) => [
        admin.createDatabase(args),
        admin.getDatabase(args),
        admin.deleteDatabase(args),
      ]),
      admin.listDatabases({} as never),
      admin.createTenant({} as never),
      admin.getTenant({ name: null } as never),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: {
          name: "ChromaValueError",
          message: expect.stringMatching(/^Expected '(name|tenant)' to be a string/),
        },
      });
    }
    const short = { name: "db", tenant: "default_tenant" };
    for (const call of [admin.createDatabase(short), admin.getDatabase(short), admin.deleteDatabase(short)]) {
      await expect(call).rejects.toMatchObject({
        name: "ChromaClientError",
        message: expect.stringContaining("database name must be at least 3 characters"),
      });
    }
  });
});
