import { filterToSql, literal } from "./sql-filter.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

let lancedb;

/** One batch as an Arrow table whose vectors are the batch's own memory: the cheapest form LanceDB takes. */
async function arrowTable({ ids, documents, metadatas, vectors, dimension }, keys) {
  const arrow = await import("apache-arrow");
  const floats = new arrow.Float32();
  const values = arrow.makeData({ type: floats, length: vectors.length, data: vectors });
  const type = new arrow.FixedSizeList(dimension, new arrow.Field("item", floats, true));
  const embedding = arrow.makeData({ type, length: ids.length, child: values });
  const columns = {
    integer: (key) => arrow.makeVector(Int32Array.from(metadatas, (metadata) => metadata[key])),
    string: (key) =>
      arrow.vectorFromArray(
        metadatas.map((metadata) => metadata[key]),
        new arrow.Utf8(),
      ),
  };
  return new arrow.Table({
    id: arrow.vectorFromArray(ids, new arrow.Utf8()),
    document: arrow.vectorFromArray(documents, new arrow.Utf8()),
    ...Object.fromEntries(Object.entries(keys).map(([key, kind]) => [key, columns[kind](key)])),
    embedding: new arrow.Vector([embedding]),
  });
}

/** The index of a metadata key's type. */
const SCALAR_INDEX = { string: "bitmap", integer: "btree" };

function adapt(connection, table, keys) {
  let current = table;
  return {
    // The refinement asks for twice as many as are wanted, and `ef` may not be less.
    efs: [32, 64, 100, 200, 400],
    async insert(batch) {
      const rows = await arrowTable(batch, keys);
      if (current) await current.add(rows);
      else current = await connection.createTable("wordnet", rows);
    },
    async finish() {
      await current.optimize();
      const { Index } = lancedb;
      const config = Index.hnswSq({ distanceType: "cosine", m: M, efConstruction: EF_CONSTRUCTION, numPartitions: 1 });
      await current.createIndex("embedding", { config });
      for (const [key, kind] of Object.entries(keys)) {
        await current.createIndex(key, { config: Index[SCALAR_INDEX[kind]]() });
      }
    },
    prepareQuery: (vector) => vector,
    prepareFilter: (filter) => filterToSql(filter, { contains: (text) => `document LIKE ${literal(`%${text}%`)}` }),
    async query(vector, { k, ef, filter, records }) {
      let query = current.query().nearestTo(vector).column("embedding").distanceType("cosine").limit(k).ef(ef);
      query = query.refineFactor(2);
      if (filter) query = query.where(filter);
      const columns = records
        ? ["id", "_distance", "document", "pos", "domain", "words", "links"]
        : ["id", "_distance"];
      return (await query.select(columns).toArray()).map((row) => row.id);
    },
    prepareBatch: (vectors) => vectors,
    async queryBatch([first, ...others], { k, ef }) {
      let query = current.query().nearestTo(first);
      for (const vector of others) query = query.addQueryVector(vector);
      query = query.column("embedding").distanceType("cosine").limit(k).ef(ef).refineFactor(2);
      const answers = Array.from({ length: others.length + 1 }, () => []);
      for (const row of await query.select(["id", "_distance", "query_index"]).toArray()) {
        answers[row.query_index].push(row.id);
      }
      return answers;
    },
    close: () => connection.close(),
  };
}

export default {
  name: "lancedb",
  variants: { "HNSW-SQ": {} },
  durability: "a commit per batch",
  storesRecords: true,
  async connect() {
    lancedb = await importPackage("@lancedb/lancedb");
  },
  async create(path, _variant, { keys }) {
    return adapt(await lancedb.connect(path), null, keys);
  },
  async open(path) {
    const connection = await lancedb.connect(path);
    return adapt(connection, await connection.openTable("wordnet"), null);
  },
};
