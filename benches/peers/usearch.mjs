// Vectors and numbers only: the adapter keeps the ids in JavaScript, as a program that uses usearch must.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { DIMENSION } from "../dataset.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

/** The search width that the single-query benches ask for. */
const DEFAULT_EF = 100;

let usearch;

const indexOf = ({ quantization }, efConstruction, ef) =>
  new usearch.Index({
    metric: usearch.MetricKind.Cos,
    quantization,
    dimensions: DIMENSION,
    connectivity: M,
    expansion_add: efConstruction,
    expansion_search: ef,
    multi: false,
  });

function adapt(path, variant, index, ids) {
  // The JavaScript interface fixes the search width when an index is made, so each width is an index of its own.
  let current = { ef: DEFAULT_EF, index };
  return {
    efs: [16, 32, 64, 100, 200, 400],
    insert(batch) {
      const keys = BigUint64Array.from(batch.ids, (_, i) => BigInt(batch.firstRow + i));
      index.add(keys, batch.vectors, availableParallelism());
      ids.push(...batch.ids);
    },
    finish() {
      mkdirSync(path, { recursive: true });
      index.save(`${path}/index.usearch`);
      writeFileSync(`${path}/ids.json`, JSON.stringify(ids));
    },
    prepareQuery: (vector) => vector,
    query(vector, { k, ef }) {
      if (ef && ef !== current.ef) {
        current = { ef, index: indexOf(variant, EF_CONSTRUCTION, ef) };
        current.index.load(`${path}/index.usearch`);
      }
      return Array.from(current.index.search(vector, k, 1).keys, (key) => ids[Number(key)]);
    },
    close() {},
  };
}

export default {
  name: "usearch",
  variants: { f32: { quantization: "f32" }, bf16: { quantization: "bf16" }, i8: { quantization: "i8" } },
  durability: "none until saved",
  storesRecords: false,
  async connect() {
    usearch = await importPackage("usearch");
  },
  create(path, variant, { efConstruction = EF_CONSTRUCTION }) {
    return adapt(path, variant, indexOf(variant, efConstruction, DEFAULT_EF), []);
  },
  open(path, variant) {
    const index = indexOf(variant, EF_CONSTRUCTION, DEFAULT_EF);
    index.load(`${path}/index.usearch`);
    return adapt(path, variant, index, JSON.parse(readFileSync(`${path}/ids.json`, "utf8")));
  },
};
