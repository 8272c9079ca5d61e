import { availableParallelism } from "node:os";
import { DIMENSION } from "../dataset.mjs";
import { filterToSql, literal } from "./sql-filter.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

/** Documents that one insert takes. */
const MOST_AT_ONCE = 1024;

let zvec;

function adapt(collection) {
  const request = (vector, { k, ef, filter, records }) => ({
    fieldName: "embedding",
    vector,
    topk: k,
    outputFields: records ? ["document", "pos", "domain", "words", "links"] : [],
    params: { indexType: zvec.ZVecIndexType.HNSW, ef },
    ...(filter && { filter }),
  });
  const ids = (docs) => docs.map((doc) => doc.id);
  return {
    efs: [16, 32, 64, 100, 200, 400],
    insert(batch) {
      const docs = batch.ids.map((id, i) => ({
        id,
        vectors: { embedding: batch.vectors.subarray(i * batch.dimension, (i + 1) * batch.dimension) },
        fields: { document: batch.documents[i], ...batch.metadatas[i] },
      }));
      for (let first = 0; first < docs.length; first += MOST_AT_ONCE) {
        const failed = collection.insertSync(docs.slice(first, first + MOST_AT_ONCE)).find(({ ok }) => !ok);
        if (failed) throw new Error(`zvec: ${failed.message}`);
      }
    },
    finish: () => collection.optimize({ concurrency: availableParallelism() }),
    prepareQuery: (vector) => vector,
    // Ids are no field that a filter could name.
    prepareFilter: (filter) =>
      filter.ids ? null : filterToSql(filter, { contains: (text) => `document LIKE ${literal(`%${text}%`)}` }),
    query: (vector, options) => ids(collection.querySync(request(vector, options))),
    queryInFlight: async (vector, options) => ids(await collection.query(request(vector, options))),
    close: () => collection.closeSync(),
  };
}

function schema({ quantizeType }, keys, dimension) {
  const { ZVecDataType: types, ZVecIndexType: indices } = zvec;
  const inverted = (name, dataType) => ({ name, dataType, nullable: true, indexParams: { indexType: indices.INVERT } });
  return new zvec.ZVecCollectionSchema({
    name: "wordnet",
    vectors: {
      name: "embedding",
      dataType: types.VECTOR_FP32,
      dimension,
      indexParams: {
        indexType: indices.HNSW,
        metricType: zvec.ZVecMetricType.COSINE,
        m: M,
        efConstruction: EF_CONSTRUCTION,
        ...(quantizeType && { quantizeType: zvec.ZVecQuantizeType[quantizeType] }),
      },
    },
    fields: [
      { name: "document", dataType: types.STRING },
      ...Object.entries(keys).map(([key, kind]) => inverted(key, kind === "string" ? types.STRING : types.INT32)),
    ],
  });
}

export default {
  name: "zvec",
  variants: { "HNSW f32": {}, "HNSW int8": { quantizeType: "INT8" } },
  durability: "write-ahead log",
  storesRecords: true,
  async connect() {
    zvec = await importPackage("@zvec/zvec");
    zvec.ZVecInitialize({ logLevel: zvec.ZVecLogLevel.ERROR });
  },
  create(path, variant, { keys, dimension = DIMENSION }) {
    return adapt(zvec.ZVecCreateAndOpen(path, schema(variant, keys, dimension)));
  },
  open: (path) => adapt(zvec.ZVecOpen(path)),
};
