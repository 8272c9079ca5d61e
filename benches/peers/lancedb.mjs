import { DIMENSION } from "../dataset.mjs";
import { literal, whereToSql } from "./sql-filter.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

let lancedb;

/** One batch as an Arrow table whose vectors are the batch's own memory: the cheapest form LanceDB takes. */
async function arrowTable({ ids, documents, metadatas, vectors }) {
  const arrow = await import("apache-arrow");
  const floats = new arrow.Float32();
  const values = arrow.makeData({ type: floats, length: vectors.length, data: vectors });
  const type = new arrow.FixedSizeList(DIMENSION, new arrow.Field("item", floats, true));
  const embedding = arrow.makeData({ type, length: ids.length, child: values });
  const integers = (key) => arrow.makeVector(Int32Array.from(metadatas, (metadata) => metadata[key] ?? -1));
  const strings = (values) => arrow.vectorFromArray(values, new arrow.Utf8());
  return new arrow.Table({
    id: strings(ids),
    document: strings(documents),
    pos: strings(metadatas.map(({ pos }) => pos)),
    domain: strings(metadatas.map(({ domain }) => domain)),
    words: integers("words"),
    links: integers("links"),
    bucket: integers("bucket"),
    embedding: new arrow.Vector([embedding]),
  });
}

function adapt(connection, table, efConstruction) {
  let current = table;
  const scalarIndices = { pos: "bitmap", domain: "bitmap", words: "btree", links: "btree", bucket: "btree" };
  return {
    // The refinement asks for twice as many as are wanted, and `ef` may not be less.
    efs: [32, 64, 100, 200, 400],
    async insert(batch) {
      const rows = await arrowTable(batch);
      if (current) await current.add(rows);
      else current = await connection.createTable("wordnet", rows);
    },
    async finish() {
      await current.optimize();
      const { Index } = lancedb;
      const config = Index.hnswSq({ distanceType: "cosine", m: M, efConstruction, numPartitions: 1 });
      await current.createIndex("embedding", { config });
      for (const [column, kind] of Object.entries(scalarIndices)) {
        await current.createIndex(column, { config: Index[kind]() });
      }
    },
    prepareQuery: (vector) => vector,
    prepareFilter: ({ where, whereDocument }) =>
      [where && whereToSql(where), whereDocument && `document LIKE ${literal(`%${whereDocument.$contains}%`)}`]
        .filter(Boolean)
        .join(" AND "),
    async query(vector, { k, ef, filter, records }) {
      let query = current.query().nearestTo(vector).column("embedding").distanceType("cosine").limit(k).ef(ef);
      query = query.refineFactor(2);
      if (filter) query = query.where(filter);
      const columns = records
        ? ["id", "_distance", "document", "pos", "domain", "words", "links"]
        : ["id", "_distance"];
      return (await query.select(columns).toArray()).map((row) => row.id);
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
  async create(path, _variant, { efConstruction = EF_CONSTRUCTION }) {
    return adapt(await lancedb.connect(path), null, efConstruction);
  },
  async open(path) {
    const connection = await lancedb.connect(path);
    return adapt(connection, await connection.openTable("wordnet"), EF_CONSTRUCTION);
  },
};
