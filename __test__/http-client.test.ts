import { afterEach, describe, expect, test, vi } from "vitest";
import {
  AdminClient,
  AdminCloudClient,
  ChromaClient,
  CloudClient,
  type Collection,
  EphemeralClient,
  HttpClient,
  K,
  Knn,
  knownSparseEmbeddingFunctions,
  registerSparseEmbeddingFunction,
  Search,
  type SparseVector,
  Sum,
} from "../index.js";
import { type Answer, type Asked, startServer } from "./support/chroma-server.js";

const TENANT = "/api/v2/tenants/default_tenant";
const DATABASE = `${TENANT}/databases/default_database`;
const ID = "11111111-1111-4111-8111-111111111111";
const COLLECTION = `${DATABASE}/collections/${ID}`;

const notes = {
  id: ID,
  name: "notes",
  tenant: "default_tenant",
  database: "default_database",
  metadata: null,
  dimension: null,
  configuration_json: { hnsw: { space: "l2", ef_search: 100 }, spann: null, embedding_function: null },
  schema: null,
  version: 0,
  log_position: 0,
};

/** A server that has one collection, and answers `answers` by method and path. */
async function serve(answers: Record<string, Answer | ((asked: Asked) => Answer)> = {}) {
  const known: typeof answers = {
    "GET /api/v2/pre-flight-checks": { body: { max_batch_size: 3, supports_base64_encoding: true } },
    [`GET ${DATABASE}/collections/notes`]: { body: notes },
    ...answers,
  };
  const server = await startServer((asked) => {
    const answer = known[`${asked.method} ${asked.url.split("?")[0]}`];
    return typeof answer === "function" ? answer(asked) : answer;
  });
  return { ...server, client: new ChromaClient({ host: "127.0.0.1", port: server.port }) };
}

const lengths = {
  generate: async (texts: string[]) => texts.map((text) => [text.length, 0.5]),
};

async function openNotes(answers: Parameters<typeof serve>[0] = {}) {
  const server = await serve(answers);
  const collection = await server.client.getCollection({ name: "notes", embeddingFunction: lengths });
  server.asked.length = 0;
  return { ...server, collection };
}

const base64 = (values: number[]): string => Buffer.from(Float32Array.from(values).buffer).toString("base64");

afterEach(() => {
  vi.unstubAllEnvs();
  knownSparseEmbeddingFunctions.clear();
});

describe("where a client goes", () => {
  const servers: [object, string][] = [
    [{}, "http://localhost:8000/api/v2/version"],
    [{ host: "example.org", port: 1, ssl: true }, "https://example.org:1/api/v2/version"],
    [{ host: "::1" }, "http://[::1]:8000/api/v2/version"],
    [{ path: "https://example.org/chroma/" }, "https://example.org/chroma/api/v2/version"],
    [{ path: new URL("http://example.org") }, "http://example.org/api/v2/version"],
  ];
  test.each(servers)("%j", async (args, url) => {
    const fetched = vi.spyOn(globalThis, "fetch").mockImplementation(async () => Response.json("1.0.0"));
    try {
      expect(await new ChromaClient(args).version()).toBe("1.0.0");
      expect(await HttpClient(args).version()).toBe("1.0.0");
      expect(fetched.mock.calls.map(([request]) => (request as Request).url)).toEqual([url, url]);
    } finally {
      fetched.mockRestore();
    }
  });

  test.each([
    [{ host: "http://localhost" }, "Expected 'host' to be the name or address of a server, without scheme and path"],
    [{ host: "a/b" }, "Expected 'host' to be the name or address"],
    [{ host: "user@x" }, "Expected 'host' to be the name or address"],
    [{ port: 70_000 }, "Expected 'port' to be an integer from 0 to 65535"],
    [{ ssl: "yes" }, "Expected 'ssl' to be a boolean"],
    [{ path: "http://" }, "is not a valid URL"],
    [{ path: "http://u:p@x" }, "Give credentials in 'headers'"],
    [{ path: "http://x", port: 1 }, "not both"],
    [{ readOnly: true }, "'readOnly' is for local databases"],
    [{ host: "x", sealRows: 3 }, "'sealRows' is for local databases"],
    [{ lenient: "yes" }, "Expected 'lenient' to be a boolean or an object of rules"],
    [{ lenient: { all: true } }, "There is no rule 'lenient.all'"],
  ])("is refused for %j", (args, message) => {
    expect(() => new ChromaClient(args as never)).toThrow(message);
  });

  test("what is local stays local", async () => {
    const client = HttpClient();
    expect(() => client.handle).toThrow("This needs a local database");
    await expect(client.stats()).rejects.toThrow("for local databases only");
    await client.close();
  });
});

describe("requests", () => {
  test("of the client", async () => {
    const { client, asked } = await serve({
      "GET /api/v2/heartbeat": { body: { "nanosecond heartbeat": 7 } },
      "GET /api/v2/auth/identity": { body: { user_id: "u", tenant: "t", databases: ["d"] } },
      "POST /api/v2/reset": { body: true },
      [`GET ${DATABASE}/collections_count`]: { body: 1 },
      [`GET ${DATABASE}/collections`]: { body: [notes] },
      [`GET ${DATABASE}/collections/by-id/${ID}`]: { body: notes },
      "GET /api/v2/collections/t%3Ad%3Anotes": { body: notes },
      [`DELETE ${DATABASE}/collections/a%2Fb`]: { body: {} },
    });
    expect(await client.heartbeat()).toBe(7);
    expect(await client.getUserIdentity()).toEqual({ user_id: "u", tenant: "t", databases: ["d"] });
    await client.reset();
    expect(await client.countCollections()).toBe(1);
    expect((await client.listCollections({ limit: 2, offset: 1 })).map(({ name }) => name)).toEqual(["notes"]);
    expect((await client.getCollectionById(ID)).id).toBe(ID);
    expect((await client.getCollectionByCrn("t:d:notes")).name).toBe("notes");
    await client.deleteCollection({ name: "a/b" });
    expect((await client.getCollections(["notes", "notes"])).length).toBe(2);
    expect(await client.getMaxBatchSize()).toBe(3);
    expect(await client.supportsBase64Encoding()).toBe(true);
    expect(client.preflightChecks).toEqual({ max_batch_size: 3, supports_base64_encoding: true });
    expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "GET /api/v2/heartbeat",
      "GET /api/v2/auth/identity",
      "POST /api/v2/reset",
      `GET ${DATABASE}/collections_count`,
      `GET ${DATABASE}/collections?limit=2&offset=1`,
      `GET ${DATABASE}/collections/by-id/${ID}`,
      "GET /api/v2/collections/t%3Ad%3Anotes",
      `DELETE ${DATABASE}/collections/a%2Fb`,
      `GET ${DATABASE}/collections/notes`,
      `GET ${DATABASE}/collections/notes`,
      "GET /api/v2/pre-flight-checks",
    ]);
    await expect(client.deleteCollection({ name: ".." })).rejects.toThrow(
      "Expected names and ids to be strings of text",
    );
  });

  test("create collections", async () => {
    const { client, asked } = await serve({ [`POST ${DATABASE}/collections`]: { body: notes } });
    const sparse: SparseVector = { indices: [1], values: [0.5] };
    await client.createCollection({ name: "notes", metadata: { a: 1, gone: null, sparse }, embeddingFunction: null });
    await client.getOrCreateCollection({ name: "notes", configuration: { hnsw: { space: "cosine" } } });
    expect(asked.map(({ body }) => body)).toEqual([
      {
        name: "notes",
        configuration: {},
        metadata: { a: 1, sparse: { "#type": "sparse_vector", indices: [1], values: [0.5] } },
        get_or_create: false,
      },
      {
        name: "notes",
        configuration: {
          hnsw: { space: "cosine" },
          embedding_function: { type: "known", name: "default", config: {} },
        },
        get_or_create: true,
      },
    ]);
  });

  test("write records, with vectors as base64 when the server takes it", async () => {
    const { collection, asked } = await openNotes({
      [`POST ${COLLECTION}/add`]: { status: 201 },
      [`POST ${COLLECTION}/upsert`]: {},
      [`POST ${COLLECTION}/update`]: {},
    });
    await collection.add({ ids: ["a"], embeddings: [[0.1, 2]], metadatas: [{ n: 1, gone: null }] });
    await collection.add({ ids: ["a", "b"], embeddings: Float32Array.of(1, 2, 3, 4), dimension: 2 });
    await collection.upsert({ ids: ["a"], documents: ["four"], uris: ["file:x"] });
    await collection.update({ ids: ["a"], metadatas: [null] });
    expect(asked.filter(({ method }) => method === "POST").map(({ body }) => body)).toEqual([
      { ids: ["a"], embeddings: [base64([0.1, 2])], metadatas: [{ n: 1 }] },
      { ids: ["a", "b"], embeddings: [base64([1, 2]), base64([3, 4])] },
      { ids: ["a"], embeddings: [base64([4, 0.5])], documents: ["four"], uris: ["file:x"] },
      { ids: ["a"], metadatas: [null] },
    ]);
  });

  test("write vectors as numbers when the server does not", async () => {
    const { collection, asked } = await openNotes({
      "GET /api/v2/pre-flight-checks": { body: { max_batch_size: 3 } },
      [`POST ${COLLECTION}/add`]: { status: 201 },
    });
    await collection.add({ ids: ["a"], embeddings: [[0.1, 2]] });
    await collection.add({ ids: ["a", "b"], embeddings: Float32Array.of(1, 2, 3, 4), dimension: 2 });
    expect(asked.slice(1).map(({ body }) => body)).toEqual([
      { ids: ["a"], embeddings: [[0.1, 2]] },
      {
        ids: ["a", "b"],
        embeddings: [
          [1, 2],
          [3, 4],
        ],
      },
    ]);
  });

  test("are not sent when the records break a rule", async () => {
    const { collection, asked } = await openNotes();
    const refused: [object, string][] = [
      [{ ids: ["a", "a"], embeddings: [[1], [2]] }, "Expected IDs to be unique, but found duplicates of a"],
      [{ ids: ["a", "b", "c", "d"], documents: ["1", "2", "3", "4"] }, "Record set length 4 exceeds max batch size 3"],
      [{ ids: ["a"], embeddings: [[Number.NaN]] }, "Embeddings must not contain NaN or Infinity values"],
      [{ ids: ["a"], embeddings: [[1]], metadatas: [{}] }, "Expected metadata to be non-empty"],
    ];
    for (const [args, message] of refused) await expect(collection.add(args as never)).rejects.toThrow(message);
    await expect(collection.query({ queryEmbeddings: [[1]], where: {} })).rejects.toThrow("exactly one operator");
    await expect(collection.query({ queryEmbeddings: [[Number.NaN]] })).rejects.toThrow("NaN or Infinity");
    await expect(collection.get({ include: ["distances"] })).rejects.toThrow("distances is not allowed");
    await expect(collection.delete({ limit: 1 })).rejects.toThrow("limit can only be specified");
    expect(asked.map(({ url }) => url)).toEqual(["/api/v2/pre-flight-checks"]);
  });

  test("read records", async () => {
    const sparse = { "#type": "sparse_vector", indices: [1], values: [0.5] };
    const { collection, asked } = await openNotes({
      [`GET ${COLLECTION}/count`]: { body: 2 },
      [`POST ${COLLECTION}/get`]: {
        body: { ids: ["a"], documents: null, embeddings: [[0.1]], metadatas: [{ n: 1, sparse }], uris: null },
      },
      [`POST ${COLLECTION}/query`]: {
        body: { ids: [["a"]], distances: [[0.25]], documents: [["x"]], metadatas: [[{ sparse }]] },
      },
      [`POST ${COLLECTION}/delete`]: { body: { deleted: 2 } },
    });
    expect(await collection.count({ readLevel: "index_only" })).toBe(2);
    const read = await collection.get({
      ids: ["a"],
      where: { n: 1 },
      whereDocument: { $contains: "x" },
      limit: 5,
      offset: 1,
      include: ["embeddings", "metadatas"],
    });
    expect(read.rows()).toEqual([
      { id: "a", embedding: [0.1], metadata: { n: 1, sparse: { indices: [1], values: [0.5] } } },
    ]);
    await collection.peek();
    const found = await collection.query({ queryTexts: ["abc"], ids: ["a"] });
    expect(found.rows()).toEqual([
      [{ id: "a", distance: 0.25, document: "x", metadata: { sparse: { indices: [1], values: [0.5] } } }],
    ]);
    await collection.query({ queryEmbeddings: [0.1, 0.2], nResults: 3, include: [] });
    expect(await collection.delete({ where: { n: 1 }, limit: 3 })).toEqual({ deleted: 2 });
    expect(asked.map(({ url, body }) => [url.slice(COLLECTION.length), body])).toEqual([
      ["/count?read_level=index_only", undefined],
      [
        "/get",
        {
          ids: ["a"],
          where: { n: 1 },
          where_document: { $contains: "x" },
          limit: 5,
          offset: 1,
          include: ["embeddings", "metadatas"],
        },
      ],
      ["/get", { limit: 10, include: ["documents", "metadatas"] }],
      [
        "/query",
        { query_embeddings: [[3, 0.5]], n_results: 10, ids: ["a"], include: ["metadatas", "documents", "distances"] },
      ],
      ["/query", { query_embeddings: [[0.1, 0.2]], n_results: 3, include: [] }],
      ["/delete", { where: { n: 1 }, limit: 3 }],
    ]);
  });

  test("change, copy and describe a collection", async () => {
    const { collection, asked } = await openNotes({
      [`PUT ${COLLECTION}`]: {},
      [`POST ${COLLECTION}/fork`]: { body: { ...notes, name: "copy" } },
      [`GET ${COLLECTION}/fork_count`]: { body: { count: 4 } },
      [`GET ${COLLECTION}/indexing_status`]: {
        body: { op_indexing_progress: 1, num_unindexed_ops: 0, num_indexed_ops: 2, total_ops: 2 },
      },
    });
    await collection.modify({ name: "renamed", metadata: { a: 1 }, configuration: { hnsw: { ef_search: 7 } } });
    expect(collection).toMatchObject({ name: "renamed", metadata: { a: 1 } });
    expect(collection.configuration).toEqual({
      hnsw: { space: "l2", ef_search: 7 },
      spann: null,
      embedding_function: null,
      embeddingFunction: null,
    });
    const copy = await collection.fork({ name: "copy" });
    expect(copy).toMatchObject({ name: "copy", embeddingFunction: lengths });
    expect(await collection.forkCount()).toBe(4);
    expect((await collection.getIndexingStatus()).total_ops).toBe(2);
    expect(asked.map(({ body }) => body).slice(0, 2)).toEqual([
      { new_name: "renamed", new_metadata: { a: 1 }, new_configuration: { hnsw: { ef_search: 7 } } },
      { new_name: "copy" },
    ]);
    for (const call of [
      collection.compact(),
      collection.preload(),
      collection.export("never.arrow"),
      collection.import("never.arrow"),
      collection.explain({ queryEmbeddings: [[1]] }),
      collection.query({ queryEmbeddings: [[1]], searchParams: { ef: 3 } }),
    ]) {
      await expect(call).rejects.toThrow("for local databases only");
    }
  });

  test("of the admin client", async () => {
    const { port, asked } = await serve({
      "POST /api/v2/tenants": {},
      "GET /api/v2/tenants/t": { body: { name: "t", resource_name: null } },
      "POST /api/v2/tenants/t/databases": {},
      "GET /api/v2/tenants/t/databases": { body: [{ id: ID, name: "d", tenant: "t" }] },
      "GET /api/v2/tenants/t/databases/d": { body: { id: ID, name: "d", tenant: "t" } },
      "DELETE /api/v2/tenants/t/databases/d": {},
    });
    const admin = new AdminClient({ host: "127.0.0.1", port, ssl: false, headers: { "x-chroma-token": "s" } });
    await admin.createTenant({ name: "t" });
    expect(await admin.getTenant({ name: "t" })).toBe("t");
    await admin.createDatabase({ name: "d", tenant: "t" });
    expect(await admin.getDatabase({ name: "d", tenant: "t" })).toEqual({ id: ID, name: "d", tenant: "t" });
    expect(await admin.listDatabases({ tenant: "t", limit: 5 })).toHaveLength(1);
    await admin.deleteDatabase({ name: "d", tenant: "t" });
    await admin.close();
    expect(asked.map(({ body, headers }) => [body, headers["x-chroma-token"]])).toEqual(
      [{ name: "t" }, undefined, { name: "d" }, undefined, undefined, undefined].map((body) => [body, "s"]),
    );
  });

  test("carry headers and tokens", async () => {
    const { port, asked } = await serve({ "GET /api/v2/version": { body: '"1.0.0"' } });
    const at = { host: "127.0.0.1", port };
    const auth = { credentials: "secret" };
    expect(new ChromaClient({ ...at, headers: { a: "b" } }).headers).toEqual({ a: "b" });
    for (const args of [
      { headers: { authorization: "Basic x" } },
      { auth: { ...auth, tokenHeaderType: "X_CHROMA_TOKEN" } },
      { auth: { ...auth, tokenHeaderType: "AUTHORIZATION" } },
      { auth: { ...auth, tokenHeaderType: "X_CHROMA_TOKEN" }, headers: { "x-chroma-token": "given" } },
      { fetchOptions: { headers: { authorization: "from options" }, method: "POST" } },
    ]) {
      await new ChromaClient({ ...at, ...args }).version();
    }
    expect(asked.map(({ headers }) => headers.authorization ?? headers["x-chroma-token"])).toEqual([
      "Basic x",
      "secret",
      "Bearer secret",
      "given",
      "from options",
    ]);
  });
});

describe("searches", () => {
  const answer = { ids: [["a"]], documents: [null], metadatas: [null], scores: [[0.5]], select: [["#score"]] };

  test("are sent with their texts embedded", async () => {
    class Words {
      async generate(texts: string[]): Promise<SparseVector[]> {
        return texts.map((text) => ({ indices: [text.length], values: [1] }));
      }
      static buildFromConfig(): Words {
        return new Words();
      }
    }
    registerSparseEmbeddingFunction("words", Words);
    const config = { embedding_function: { type: "known", name: "words", config: {} }, source_key: "#document" };
    const keys = { words: { sparse_vector: { sparse_vector_index: { enabled: true, config } } }, plain: {} };
    const { collection, asked } = await openNotes({
      [`GET ${DATABASE}/collections/notes`]: { body: { ...notes, schema: { defaults: {}, keys } } },
      [`POST ${COLLECTION}/search`]: { body: answer },
      [`POST ${COLLECTION}/add`]: { status: 201 },
    });
    const rank = Sum(Knn({ query: "abc" }), Knn({ query: "four", key: "words" }), Knn({ query: [1, 2] }));
    const search = new Search().where(K("n").gt(1)).rank(rank).limit(3).select(K.SCORE);
    const result = await collection.search(search, { readLevel: "index_only" });
    expect(result.rows()).toEqual([[{ id: "a", score: 0.5 }]]);
    const knn = (query: unknown, key = "#embedding") => ({ $knn: { query, key, limit: 128 } });
    expect(asked[0]?.body).toEqual({
      searches: [
        {
          filter: { n: { $gt: 1 } },
          rank: { $sum: [knn([3, 0.5]), knn({ indices: [4], values: [1] }, "words"), knn([1, 2])] },
          limit: { offset: 0, limit: 3 },
          select: { keys: ["#score"] },
        },
      ],
      read_level: "index_only",
    });
    await expect(collection.search({ rank: Knn({ query: "x", key: "none" }) })).rejects.toThrow(
      "Cannot embed string query for key 'none': key not found in schema.",
    );
    await expect(collection.search({ rank: Knn({ query: "x", key: "plain" }) })).rejects.toThrow(
      "Cannot embed string query for key 'plain': no embedding function configured.",
    );
    await expect(collection.search([])).rejects.toThrow("At least one search payload must be provided.");

    await collection.add({
      ids: ["a", "b"],
      documents: ["xx", "yyy"],
      metadatas: [null, { words: { indices: [9], values: [9] } }],
    });
    const marked = (at: number, value: number) => ({ "#type": "sparse_vector", indices: [at], values: [value] });
    expect(asked.at(-1)?.body).toMatchObject({ metadatas: [{ words: marked(2, 1) }, { words: marked(9, 9) }] });
  });

  test("need vectors on a handle", async () => {
    const { client, asked } = await serve({ [`POST ${COLLECTION}/search`]: { body: answer } });
    const handle = client.collection(ID);
    await expect(handle.search({ rank: Knn({ query: "x" }) })).rejects.toThrow("requires an embedding function");
    await handle.search([{ rank: Knn({ query: [1] }) }, {}]);
    expect(asked).toHaveLength(1);
  });
});

describe("failures", () => {
  const failures: [number, unknown, string, string][] = [
    [400, { message: "why" }, "ChromaClientError", "Bad request to URL with status: why"],
    [400, "no JSON", "ChromaClientError", "Bad request to URL with status: Bad Request"],
    [401, {}, "ChromaAuthError", "Unauthorized"],
    [403, {}, "ChromaForbiddenError", "You do not have permission to access the requested resource."],
    [404, {}, "ChromaNotFoundError", "The requested resource could not be found"],
    [409, {}, "ChromaUniqueError", "The resource already exists"],
    [422, { message: "wrong shape" }, "ChromaClientError", "wrong shape"],
    [422, { message: "Quota exceeded: 3" }, "ChromaQuotaExceededError", "Quota exceeded: 3"],
    [422, { message: "Billing limit exceeded" }, "ChromaQuotaExceededError", "Billing limit exceeded"],
    [422, null, "ChromaClientError", "Unprocessable Entity"],
    [429, {}, "ChromaRateLimitError", "Rate limit exceeded"],
    [500, { error: "InternalError", message: "broken" }, "ChromaServerError", "broken"],
    [501, { error: "ChromaError" }, "ChromaServerError", "ChromaError"],
    [503, "", "ChromaServerError", "503: Service Unavailable"],
    [200, "<html>", "ChromaServerError", "The answer of URL is not JSON: is this a Chroma server?"],
  ];
  test.each(failures)("%i %j is %s", async (status, body, name, message) => {
    const { client, url } = await serve({ "GET /api/v2/version": { status, body } });
    const expected = message.replace("URL", `${url}/api/v2/version`);
    await expect(client.version()).rejects.toMatchObject({ name, message: expected });
  });

  test("a redirection is not followed, so that no token goes elsewhere", async () => {
    const elsewhere = await startServer(() => ({}));
    const headers = { location: elsewhere.url };
    const { client } = await serve({ "GET /api/v2/version": { status: 308, body: "", headers } });
    await expect(client.version()).rejects.toThrow(`redirects to ${elsewhere.url}`);
    expect(elsewhere.asked).toEqual([]);
  });

  test("a server that is not there", async () => {
    const { port } = await startServer(() => undefined);
    const client = new ChromaClient({ host: "127.0.0.1", port, fetchOptions: { signal: AbortSignal.abort("stop") } });
    await expect(client.version()).rejects.toBe("stop");
    const nobody = vi.spyOn(globalThis, "fetch").mockRejectedValue(new TypeError("fetch failed"));
    try {
      await expect(HttpClient({ port }).version()).rejects.toMatchObject({
        name: "ChromaConnectionError",
        message: expect.stringContaining("Failed to connect to chromadb"),
      });
    } finally {
      nobody.mockRestore();
    }
  });

  test("a query can be stopped", async () => {
    const stop = new AbortController();
    const { collection } = await openNotes({
      [`POST ${COLLECTION}/query`]: () => {
        stop.abort(new Error("enough"));
        return { body: { ids: [[]] } };
      },
    });
    await expect(collection.query({ queryEmbeddings: [[1]], signal: stop.signal })).rejects.toThrow("enough");
  });
});

describe("Chroma Cloud", () => {
  test("needs a key", () => {
    vi.stubEnv("CHROMA_API_KEY", "");
    expect(() => new CloudClient()).toThrow("Missing API key.");
    expect(() => new AdminCloudClient()).toThrow("Missing API key.");
    vi.stubEnv("CHROMA_API_KEY", "from-env");
    expect(new CloudClient().headers).toEqual({ "x-chroma-token": "from-env" });
    const client = new CloudClient({ apiKey: "given", tenant: "t", database: "d" });
    expect(client).toBeInstanceOf(ChromaClient);
    expect(client).toMatchObject({ tenant: "t", database: "d", headers: { "x-chroma-token": "given" } });
    expect(new AdminCloudClient()).toBeInstanceOf(AdminClient);
  });

  test.each([
    [["only"], undefined],
    [[], "Your API key does not have access to any DBs for tenant t"],
    [["a", "b"], "Your API key is scoped to more than 1 DB."],
    [["*"], "Your API key is scoped to more than 1 DB."],
  ])("tells the database of a key: %j", async (databases, message) => {
    vi.stubEnv("CHROMA_TENANT", "");
    vi.stubEnv("CHROMA_DATABASE", "");
    const { port, asked } = await serve({
      "GET /api/v2/auth/identity": { body: { user_id: "u", tenant: "t", databases } },
      "GET /api/v2/tenants/t/databases/only/collections_count": { body: 0 },
    });
    const client = new ChromaClient({ host: "127.0.0.1", port, tenant: "", database: "" });
    expect(() => client.collection(ID)).toThrow("tenant and database must be set before calling collection()");
    const [first, second] = await Promise.allSettled([client.countCollections(), client.countCollections()]);
    if (message === undefined) {
      expect([first, second]).toEqual([0, 0].map((value) => ({ status: "fulfilled", value })));
      expect(client).toMatchObject({ tenant: "t", database: "only" });
      expect(asked.filter(({ url }) => url.endsWith("identity"))).toHaveLength(1);
    } else {
      expect(first).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining(message) } });
    }
  });
});

describe("lenient rules", () => {
  const nested = {
    loc: { lines: { from: 1, to: 2 } },
    tags: ["a", "b"],
    mixed: [1, "x"],
    at: new Date(0),
    none: {},
    no: [],
  };
  const flat = {
    "loc.lines.from": 1,
    "loc.lines.to": 2,
    tags: ["a", "b"],
    mixed: '[1,"x"]',
    at: "1970-01-01T00:00:00.000Z",
  };
  const filters: [object, unknown][] = [
    [{ a: 1, b: 2 }, { $and: [{ a: 1 }, { b: 2 }] }],
    [{ a: { $gt: 1, $lt: 3 } }, { $and: [{ a: { $gt: 1 } }, { a: { $lt: 3 } }] }],
    [{ $and: [{ a: 1 }] }, { a: 1 }],
    [{ $or: [{ a: 1, b: 2 }, { c: 3 }] }, { $or: [{ $and: [{ a: 1 }, { b: 2 }] }, { c: 3 }] }],
    [{ $and: [{}, { a: 1 }] }, { a: 1 }],
    [{ $or: [{}, { a: 1 }] }, undefined],
    [{ $and: [{}] }, undefined],
    [{}, undefined],
  ];

  async function both(lenient: boolean): Promise<{ collection: Collection; asked: Asked[] }> {
    const { port, asked } = await serve({
      [`POST ${COLLECTION}/add`]: { status: 201 },
      [`POST ${COLLECTION}/get`]: { body: { ids: [] } },
    });
    const client = new ChromaClient({ host: "127.0.0.1", port, lenient });
    return { collection: await client.getCollection({ name: "notes" }), asked };
  }

  test.each(filters)("on: the filter %j is sent as %j", async (where, sent) => {
    const { collection, asked } = await both(true);
    await collection.get({ where: where as never });
    expect((asked.at(-1) as { body: { where?: unknown } }).body.where).toEqual(sent);
  });

  test.each(filters)("off: the filter %j is refused", async (where) => {
    const { collection } = await both(false);
    await expect(collection.get({ where: where as never })).rejects.toThrow("Expected ");
  });

  test("on: metadata are sent flat, empty ones not at all", async () => {
    const { collection, asked } = await both(true);
    const metadatas = [nested, {}, { none: {} }] as never;
    await collection.add({ ids: ["a", "b", "c"], embeddings: [[1], [2], [3]], metadatas });
    expect(asked.at(-1)?.body).toMatchObject({ metadatas: [flat, null, null] });
  });

  test("in process, the same goes for reads, searches, deletes and collections", async () => {
    await using client = EphemeralClient({ lenient: true });
    const collection = await client.createCollection({ name: "notes", metadata: {}, embeddingFunction: null });
    expect(collection.metadata).toBeUndefined();
    const metadatas = [{ a: 1, loc: { from: 1 } }, {}, { a: 1, loc: { from: 2 } }] as never;
    await collection.add({ ids: ["a", "b", "c"], embeddings: [[1], [2], [3]], metadatas });
    expect((await collection.get({ where: {}, whereDocument: {} as never })).metadatas).toEqual([
      { a: 1, "loc.from": 1 },
      null,
      { a: 1, "loc.from": 2 },
    ]);
    const where = { a: 1, "loc.from": { $gt: 1, $lte: 2 } } as never;
    expect((await collection.get({ where })).ids).toEqual(["c"]);
    expect((await collection.query({ queryEmbeddings: [1], where, nResults: 5 })).ids).toEqual([["c"]]);
    expect((await collection.explain({ queryEmbeddings: [1], where })).parts).toHaveLength(1);
    // An empty filter never deletes what was not named.
    expect(await collection.delete({ where: {} })).toEqual({ deleted: 0 });
    expect(await collection.delete({ where })).toEqual({ deleted: 1 });
    await collection.update({ ids: ["a"], metadatas: [{}] });
    await collection.modify({ metadata: { deep: { er: 1 } } as never });
    expect(collection.metadata).toEqual({ "deep.er": 1 });
  });

  test("in process, all of it is refused without them; a flat query is not", async () => {
    await using client = EphemeralClient();
    await expect(client.createCollection({ name: "notes", metadata: {} })).rejects.toThrow("Metadata cannot be empty");
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    const add = (metadata: unknown) =>
      collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [metadata as never] });
    await expect(add({})).rejects.toThrow("Expected metadata to be non-empty");
    await expect(add({ loc: { from: 1 } })).rejects.toThrow("Expected metadata value for key 'loc'");
    await expect(collection.get({ where: {} })).rejects.toThrow("exactly one operator, but got 0");
    await expect(collection.get({ where: { a: 1, b: 2 } as never })).rejects.toThrow("but got 2");
    await add({ a: 1 });
    expect((await collection.query({ queryEmbeddings: [1] })).ids).toEqual([["a"]]);
  });

  test("are switched one by one", async () => {
    await using client = EphemeralClient({ lenient: { emptyMetadata: true } });
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    await collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [{}] });
    await expect(collection.get({ where: {} })).rejects.toThrow("exactly one operator");
    await expect(
      collection.add({ ids: ["b"], embeddings: [[1]], metadatas: [{ loc: { from: 1 } } as never] }),
    ).rejects.toThrow("Expected metadata value for key 'loc'");
  });

  test("refuse what cannot be made flat", async () => {
    await using client = EphemeralClient({ lenient: true });
    const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
    const add = (metadata: unknown) =>
      collection.add({ ids: ["a"], embeddings: [[1]], metadatas: [metadata as never] });
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    await expect(add(cycle)).rejects.toThrow("nested at most 32 deep");
    await expect(add({ list: [cycle] })).rejects.toThrow("Expected the list under metadata key 'list' to be JSON");
    await expect(add({ "a.b": 1, a: { b: 2 } })).rejects.toThrow("but got a.b twice");
    await expect(add({ at: new Date(Number.NaN) })).rejects.toThrow("Expected a valid date under metadata key 'at'");
    await expect(add({ call: () => 1 })).rejects.toThrow("Expected metadata value for key 'call'");
    expect(await collection.count()).toBe(0);
  });
});
