/**
 * Answers of native code and of servers that are damaged: each is read or refused with a typed error. `FUZZ_SECONDS=600` tries each
 * property for that long.
 */
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import * as ferrochrome from "../index.js";
import {
  AdminClient,
  ChromaClient,
  ChromaServerError,
  type Collection,
  EphemeralClient,
  type Include,
  K,
  Search,
} from "../index.js";
import type { NativeReply } from "../src/native.js";
import { readGetReply, readQueryReply } from "../src/native-reply.js";
import { damaged, edits, fuzzSeconds, tryOut } from "./support/mutations.js";

const INCLUDE: Include[] = ["documents", "embeddings", "metadatas", "uris"];
const TIMEOUT = 60_000 + fuzzSeconds() * 2_000;
/** Times that each property ran, told after a long run. */
const tried: Record<string, number> = {};

afterEach(({ task }) => {
  vi.unstubAllGlobals();
  if (fuzzSeconds() > 0 && tried[task.name] !== undefined) console.log(`${task.name}: ${tried[task.name]} answers`);
});

function count(name: string): void {
  tried[name] = (tried[name] ?? 0) + 1;
}

/** Replies of the addon: of gets and queries, with and without vectors, with no row, and with an id that holds a line break. */
async function realReplies() {
  const client = EphemeralClient();
  const plain = await client.createCollection({ name: "plain", embeddingFunction: null });
  const broken = await client.createCollection({ name: "broken", embeddingFunction: null });
  const records = {
    embeddings: [
      [0.5, 1],
      [2, -0.1],
      [3, 4],
    ],
    documents: ["iron", "oxide\nred", "ä😀"],
    metadatas: [{ n: 1, tags: ["a", "b"] }, { f: 0.5 }, { s: "x", b: true }],
    uris: ["file:a", "file:b", "file:c"],
  };
  await plain.add({ ...records, ids: ["a", "b", "c"] });
  await broken.add({ ...records, ids: ["a", "b\nb", "c"] });
  const gets: NativeReply[] = [];
  const queries: { reply: NativeReply; room: Float64Array }[] = [];
  for (const { id } of [plain, broken]) {
    const native = await client.handle.call("open", (database) => database.openCollection(id));
    const query = async (values: ArrayLike<number>, request: string): Promise<void> => {
      const room = new Float64Array((values.length + 1) >> 1);
      const vectors = new Float32Array(room.buffer, 0, values.length);
      vectors.set(values);
      queries.push({ reply: await native.query(vectors, 2, request, null), room });
    };
    for (const include of [INCLUDE, ["documents" as const]]) {
      gets.push(
        await native.get(JSON.stringify({ include }), null),
        await native.get(JSON.stringify({ ids: [], include }), null),
      );
      const request = JSON.stringify({ n_results: 2, include: [...include, "distances"] });
      for (const values of [
        [1, 1],
        [1, 1, 3, 4, 0, 0],
      ]) {
        await query(values, request);
      }
      // So many hits that their distances come beside the text.
      await query(Float32Array.from({ length: 140 }, Math.sin), request);
      await query([1, 1], JSON.stringify({ n_results: 2, ids: [], include }));
    }
    // Nothing but ids, and a distance in the place of the vector.
    await query([1, 1], JSON.stringify({ n_results: 1, include: ["distances"] }));
    await query([1, 1], JSON.stringify({ n_results: 2, include: [] }));
  }
  await client.close();
  return { gets, queries };
}

/** The reply after damage to its text and to the number of its components. */
function damagedReply(reply: NativeReply, steps: Parameters<typeof damaged>[1], components: number): NativeReply {
  if (typeof reply === "string") return damaged(reply, steps);
  const cut = (values: Float64Array | undefined): Float64Array | undefined => {
    if (values === undefined) return undefined;
    const other = new Float64Array(Math.max(0, values.length + components));
    other.set(values.subarray(0, other.length));
    return other;
  };
  return { text: damaged(reply.text, steps), embeddings: cut(reply.embeddings), distances: cut(reply.distances) };
}

const components = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -6, max: 6 }));

describe("replies of native code", async () => {
  const { gets, queries } = await realReplies();

  test("are read as they are", () => {
    const [get] = gets.map((reply) => readGetReply(reply, INCLUDE));
    expect(get?.rows().map(({ id, embedding }) => [id, embedding])).toEqual([
      ["a", [0.5, 1]],
      ["b", [2, -0.1]],
      ["c", [3, 4]],
    ]);
    for (const reply of gets.slice(1)) expect(() => readGetReply(reply, INCLUDE).rows()).not.toThrow();
    for (const { reply, room } of queries) expect(() => readQueryReply(reply, INCLUDE, room).rows()).not.toThrow();
  });

  test("of a get are read whole or refused", { timeout: TIMEOUT }, ({ task }) => {
    const property = fc.property(fc.constantFrom(...gets), edits, components, (reply, steps, more) => {
      count(task.name);
      const result = refusedOr(() => readGetReply(damagedReply(reply, steps, more), INCLUDE));
      if (result === undefined) return;
      result.rows();
      const { ids, documents, embeddings, metadatas, uris } = result;
      for (const column of [documents, embeddings, metadatas, uris]) expect([0, ids.length]).toContain(column.length);
    });
    return tryOut(property, 3_000);
  });

  test("of a query are read whole or refused", { timeout: TIMEOUT }, ({ task }) => {
    const property = fc.property(fc.constantFrom(...queries), edits, components, ({ reply, room }, steps, more) => {
      count(task.name);
      const include: Include[] = [...INCLUDE, "distances"];
      const result = refusedOr(() => readQueryReply(damagedReply(reply, steps, more), include, room));
      if (result === undefined) return;
      result.rows();
      const { ids, distances, documents, embeddings, metadatas, uris } = result;
      const lengths = ids.map((own) => own.length);
      for (const column of [distances, documents, embeddings, metadatas, uris]) {
        if (column.length > 0) expect(column.map((own) => own.length)).toEqual(lengths);
      }
    });
    return tryOut(property, 3_000);
  });
});

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    expect(error).toBeInstanceOf(ChromaServerError);
    return undefined;
  }
}

const notes = {
  id: "11111111-1111-4111-8111-111111111111",
  name: "notes",
  tenant: "default_tenant",
  database: "default_database",
  metadata: { kind: "a", sparse: { "#type": "sparse_vector", indices: [1], values: [0.5] } },
  dimension: 2,
  configuration_json: {
    hnsw: { space: "l2", ef_search: 100 },
    spann: null,
    embedding_function: { type: "known", name: "default", config: {} },
  },
  schema: {
    defaults: {
      string: { fts_index: { enabled: false, config: {} }, string_inverted_index: { enabled: true, config: {} } },
    },
    keys: {
      "#document": { string: { fts_index: { enabled: true, config: {} } } },
      "#embedding": {
        float_list: { vector_index: { enabled: true, config: { space: "l2", hnsw: { ef_search: 100 } } } },
      },
    },
    cmek: null,
  },
};
const columns = {
  documents: ["x", null],
  embeddings: [
    [0.5, 1],
    [2, 3],
  ],
  metadatas: [{ n: 1 }, null],
  uris: null,
};
const nested = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column && [column]]));

/** What is asked of a server, and how it answers. */
const ASKED: [string, unknown, (client: ChromaClient, collection: Collection) => Promise<unknown>][] = [
  ["heartbeat", { "nanosecond heartbeat": 7 }, (client) => client.heartbeat()],
  ["version", "1.5.9", (client) => client.version()],
  ["identity", { user_id: "u", tenant: "t", databases: ["d"] }, (client) => client.getUserIdentity()],
  ["tenant", { name: "t" }, () => new AdminClient().getTenant({ name: "t" })],
  ["list", [notes, notes], (client) => client.listCollections()],
  ["open", notes, async (client) => touch(await client.getCollection({ name: "notes" }))],
  ["create", notes, async (client) => touch(await client.createCollection({ name: "notes", embeddingFunction: null }))],
  ["fork", notes, async (_client, collection) => touch(await collection.fork({ name: "other" }))],
  ["count", 2, (_client, collection) => collection.count()],
  ["count of forks", { count: 2 }, (_client, collection) => collection.forkCount()],
  ["get", { ids: ["a", "b"], ...columns }, async (_client, collection) => (await collection.get()).rows()],
  [
    "query",
    { ids: [["a", "b"]], distances: [[0, 1]], ...nested },
    async (_client, collection) => (await collection.query({ queryEmbeddings: [[1, 2]] })).rows(),
  ],
  [
    "search",
    { ids: [["a", "b"]], scores: [[0, 1]], ...nested, select: [["#score"]] },
    async (_client, collection) => (await collection.search(new Search().select(K.DOCUMENT))).rows(),
  ],
  ["status", { op_indexing_progress: 1 }, (_client, collection) => collection.getIndexingStatus()],
  ["delete", { deleted: 1 }, (_client, collection) => collection.delete({ ids: ["a"] })],
  ["write", {}, (_client, collection) => collection.add({ ids: ["a"], embeddings: [[1, 2]] })],
  ["modify", {}, (_client, collection) => collection.modify({ name: "other" })],
];

/** Reads what a collection object reads only when it is needed. */
function touch(collection: Collection): unknown {
  return [collection.embeddingFunction, collection.schema, collection.metadata];
}

const errors = Object.values(ferrochrome).filter(
  (value) => typeof value === "function" && value.prototype instanceof Error,
) as ErrorConstructor[];

describe("answers of a server", () => {
  test.for(ASKED)(
    "to %s are read or refused with a typed error",
    { timeout: TIMEOUT },
    async ([, sound, ask], { task }) => {
      let body = JSON.stringify(notes);
      let status = 200;
      vi.spyOn(console, "warn").mockImplementation(() => {});
      vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(body, { status }));
      const fresh = async (): Promise<[ChromaClient, Collection]> => {
        [body, status] = [JSON.stringify(notes), 200];
        const client = new ChromaClient();
        return [client, await client.getCollection({ name: "notes" })];
      };
      const statuses = fc.oneof(
        { weight: 5, arbitrary: fc.constant(200) },
        fc.constantFrom(201, 307, 400, 404, 422, 500),
      );
      const property = fc.asyncProperty(edits, statuses, async (steps, answered) => {
        count(task.name);
        const [client, collection] = await fresh();
        [body, status] = [damaged(JSON.stringify(sound), steps), answered];
        try {
          await ask(client, collection);
        } catch (error) {
          const typed = errors.some((known) => error instanceof known);
          if (!typed) throw new Error(`${body} was refused with ${String(error)}`, { cause: error });
        }
      });
      await tryOut(property, 100);
    },
  );
});
