// Vectors and numbers only: the adapter keeps the ids in JavaScript, as a program that uses usearch must.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { DIMENSION } from "../dataset.mjs";
import { EF_CONSTRUCTION, importPackage, M } from "./stores.mjs";

/** The search width that the single-query benches ask for. */
const DEFAULT_EF = 100;

let usearch;

const indexOf = ({ quantization }, ef) =>
  new usearch.Index({
    metric: usearch.MetricKind.Cos,
    quantization,
    dimensions: DIMENSION,
    connectivity: M,
    expansion_add: EF_CONSTRUCTION,
    expansion_search: ef,
    multi: false,
  });

function adapt(path, variant, index, ids) {
  // The JavaScript interface fixes the search width when an index is made, so each width is an index of its own.
  let current = { ef: DEFAULT_EF, index };
  const setEf = (ef) => {
    if (!ef || ef === current.ef) return;
    current = { ef, index: indexOf(variant, ef) };
    current.index.load(`${path}/index.usearch`);
  };
  const idsOf = (keys) => Array.from(keys, (key) => ids[Number(key)]);
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
      setEf(ef);
      return idsOf(current.index.search(vector, k, 1).keys);
    },
    prepareBatch(vectors) {
      const flat = new Float32Array(vectors.length * DIMENSION);
      for (const [i, vector] of vectors.entries()) flat.set(vector, i * DIMENSION);
      return { flat, count: vectors.length };
    },
    queryBatch({ flat, count }, { k, ef }) {
      setEf(ef);
      const matches = current.index.search(flat, k, availableParallelism());
      return Array.from({ length: count }, (_, query) => idsOf(matches.get(query).keys));
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
  create(path, variant) {
    return adapt(path, variant, indexOf(variant, DEFAULT_EF), []);
  },
  open(path, variant) {
    const index = indexOf(variant, DEFAULT_EF);
    index.load(`${path}/index.usearch`);
    return adapt(path, variant, index, JSON.parse(readFileSync(`${path}/ids.json`, "utf8")));
  },
};
