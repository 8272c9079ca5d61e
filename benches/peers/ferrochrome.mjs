import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

let ferrochrome;

const NUMBERS = ["distances"];
const RECORDS = ["distances", "documents", "metadatas"];

function adapt(client, collection) {
  return {
    efs: [16, 32, 64, 100, 200, 400],
    insert: ({ vectors, ids, documents, metadatas, dimension }) =>
      collection.add({ ids, documents, metadatas, embeddings: vectors, dimension }),
    finish: () => collection.compact(),
    prepareQuery: (vector) => [vector],
    prepareFilter: (filter) => filter,
    async query(queryEmbeddings, { k, ef, exact, filter, records }) {
      const { ids } = await collection.query({
        queryEmbeddings,
        nResults: k,
        include: records ? RECORDS : NUMBERS,
        searchParams: { ef, exact },
        where: filter?.where,
        whereDocument: filter?.whereDocument,
        ids: filter?.ids,
      });
      return ids[0];
    },
    prepareBatch: (vectors) => vectors,
    async queryBatch(queryEmbeddings, { k, ef }) {
      const options = { nResults: k, include: ["distances"], searchParams: { ef } };
      return (await collection.query({ queryEmbeddings, ...options })).ids;
    },
    close: () => client.close(),
  };
}

export default {
  name: "ferrochrome",
  variants: { default: {}, [`ef_construction ${EF_CONSTRUCTION}`]: { efConstruction: EF_CONSTRUCTION } },
  durability: "survives kill -9 (normal)",
  storesRecords: true,
  searchesExactly: true,
  async connect() {
    ferrochrome = await importPackage("../../dist/index.js", "npm run build");
  },
  async create(path, variant) {
    const client = new ferrochrome.PersistentClient({ path });
    const hnsw = { space: "cosine", max_neighbors: M };
    if (variant.efConstruction) hnsw.ef_construction = variant.efConstruction;
    const collection = await client.createCollection({
      name: "wordnet",
      configuration: { hnsw },
      embeddingFunction: null,
    });
    return adapt(client, collection);
  },
  async open(path) {
    const client = new ferrochrome.PersistentClient({ path });
    return adapt(client, await client.getCollection({ name: "wordnet" }));
  },
};
