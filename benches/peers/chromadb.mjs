// Chroma itself: its JavaScript client against a server on localhost:8000. The server's memory and disk are its own.

import { DIMENSION } from "../dataset.mjs";
import { EF_CONSTRUCTION, importPackage, M, NotInstalled } from "./stores.mjs";

let client;

function adapt(collection) {
  return {
    // The server takes the search width from the collection's configuration, not from the query.
    efs: [100],
    async insert({ ids, documents, metadatas, vectors }) {
      const embeddings = ids.map((_, i) => Array.from(vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION)));
      await collection.add({ ids, documents, metadatas, embeddings });
    },
    finish() {},
    prepareQuery: (vector) => [Array.from(vector)],
    prepareFilter: (filter) => filter,
    async query(queryEmbeddings, { k, filter, records }) {
      const include = records ? ["distances", "documents", "metadatas"] : ["distances"];
      const { ids } = await collection.query({ queryEmbeddings, nResults: k, include, ...filter });
      return ids[0];
    },
    prepareBatch: (vectors) => vectors.map((vector) => Array.from(vector)),
    async queryBatch(queryEmbeddings, { k }) {
      return (await collection.query({ queryEmbeddings, nResults: k, include: ["distances"] })).ids;
    },
    close() {},
  };
}

/** The server has one name space: the collection is named after the folder that a local store would have. */
const collectionName = (path) => `bench-${path.split(/[\\/]/).at(-1)}`.replace(/[^a-zA-Z0-9-]/g, "-");

export default {
  name: "chromadb",
  variants: { "server, ef 100": {} },
  durability: "the server's (SQLite log)",
  storesRecords: true,
  async connect() {
    const { ChromaClient } = await importPackage("chromadb");
    client = new ChromaClient({ host: "localhost", port: 8000 });
    try {
      await client.heartbeat();
    } catch {
      throw new NotInstalled("no server on localhost:8000 (npx chroma run)");
    }
  },
  async create(path) {
    const name = collectionName(path);
    await client.deleteCollection({ name }).catch(() => {});
    const hnsw = { space: "cosine", max_neighbors: M, ef_construction: EF_CONSTRUCTION, ef_search: 100 };
    return adapt(await client.createCollection({ name, configuration: { hnsw }, embeddingFunction: null }));
  },
  async open(path) {
    return adapt(await client.getCollection({ name: collectionName(path) }));
  },
};
