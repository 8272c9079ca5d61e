// Vectors and numbers only: the adapter keeps the ids in JavaScript, as a program that uses hnswlib-node must.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { DIMENSION } from "../dataset.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

let hnswlib;

function adapt(path, index, ids) {
  let currentEf = null;
  return {
    efs: [16, 32, 64, 100, 200, 400],
    insert(batch) {
      for (const [i, id] of batch.ids.entries()) {
        index.addPoint(Array.from(batch.vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION)), batch.firstRow + i);
        ids.push(id);
      }
    },
    finish() {
      mkdirSync(path, { recursive: true });
      index.writeIndexSync(`${path}/index.hnsw`);
      writeFileSync(`${path}/ids.json`, JSON.stringify(ids));
    },
    prepareQuery: (vector) => Array.from(vector),
    query(vector, { k, ef }) {
      if (ef && ef !== currentEf) {
        index.setEf(ef);
        currentEf = ef;
      }
      return index.searchKnn(vector, k).neighbors.map((label) => ids[label]);
    },
    close() {},
  };
}

export default {
  name: "hnswlib-node",
  variants: { f32: {} },
  durability: "none until saved",
  storesRecords: false,
  async connect() {
    hnswlib = (await importPackage("hnswlib-node")).default;
  },
  create(path, _variant, { rows }) {
    const index = new hnswlib.HierarchicalNSW("cosine", DIMENSION);
    index.initIndex({ maxElements: rows, m: M, efConstruction: EF_CONSTRUCTION });
    return adapt(path, index, []);
  },
  open(path) {
    const index = new hnswlib.HierarchicalNSW("cosine", DIMENSION);
    index.readIndexSync(`${path}/index.hnsw`);
    return adapt(path, index, JSON.parse(readFileSync(`${path}/ids.json`, "utf8")));
  },
};
