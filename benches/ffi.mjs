// What it costs to cross from JavaScript into the addon and back: per call, per value of an argument, per row of a result.
// Each call is made directly ("native") and through the package ("package"), whose share is validation and JSON.
import { createRequire } from "node:module";
import { DIMENSION, readEntries } from "./dataset.mjs";
import { formats } from "./table.mjs";

export const stores = ["ferrochrome"];
export const defaultsOnly = true;

export const needs = {};

export const columns = [
  { title: "cost per", key: "cost", format: formats.text },
  { title: "of", key: "what", format: formats.text },
  { title: "native us", key: "native", format: formats.thousandths },
  { title: "package us", key: "package", format: formats.thousandths },
  { title: "answered", key: "answered", format: formats.text },
];

export const legend =
  "Microseconds, the fastest of 15 loops of awaited calls. Calls ask a collection of 10 records. Costs per value and per row are the\n" +
  'slope between a short and a long argument or result, on 1,000 records. "at once" is answered on the calling thread, "promise" by\n' +
  "the addon's own threads; a slope says it for the short and the long one. What a call does inside the addon is part of its figure.";

/** Records of the collections that calls and slopes are measured on. In the smaller one a search costs next to nothing. */
const FEW_ROWS = 10;
const ROWS = 1_000;
export const fixedSettings = { rows: ROWS };
const LOOPS = 15;
/** A loop is repeated calls for at least this long, unless all loops would then take longer than `--seconds`. */
const LOOP_MILLISECONDS = 10;

async function timeLoop(call, count) {
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    const answer = call();
    // An answer that is there is not awaited: that would count a turn of the microtask queue.
    if (answer instanceof Promise) await answer;
  }
  return performance.now() - started;
}

/** Microseconds of one call in the fastest of several loops: whatever else runs can only slow one down. */
async function perCall(call, seconds) {
  const shortest = Math.min(LOOP_MILLISECONDS, (seconds * 1_000) / LOOPS);
  let count = 1;
  while ((await timeLoop(call, count)) < shortest) count *= 2;
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < LOOPS; i++) fastest = Math.min(fastest, await timeLoop(call, count));
  return (fastest / count) * 1_000;
}

const howAnswered = async (call) => {
  const answer = call();
  await answer;
  return answer instanceof Promise ? "promise" : "at once";
};

/** The row of one call. */
async function measureCall({ what, native, package: throughPackage }, seconds) {
  return {
    cost: "call",
    what,
    native: native && (await perCall(native, seconds)),
    package: await perCall(throughPackage, seconds),
    answered: native && (await howAnswered(native)),
  };
}

/** The row of a slope: `native(n)` and `package(n)` are calls with n values or rows. */
async function measureSlope({ cost, what, range: [few, many], native, package: throughPackage }, seconds) {
  const slope = async (callWith) => {
    const short = await perCall(callWith(few), seconds);
    return ((await perCall(callWith(many), seconds)) - short) / (many - few);
  };
  return {
    cost,
    what,
    native: await slope(native),
    package: await slope(throughPackage),
    answered: `${await howAnswered(native(few))}, ${await howAnswered(native(many))}`,
  };
}

/** Collections of one database, each as the package gives it and as the addon does. */
async function openDatabase(path) {
  const { PersistentClient, DEFAULT_TENANT, DEFAULT_DATABASE } = await import("../dist/index.js");
  const { NativeDatabase } = createRequire(import.meta.url)("../binding/native.cjs");
  const client = new PersistentClient({ path });
  const database = await NativeDatabase.open(path, "{}");
  return {
    async create(name, records) {
      const collection = await client.createCollection({ name, embeddingFunction: null });
      await collection.add(records);
      const { id } = JSON.parse(await database.getCollection(DEFAULT_TENANT, DEFAULT_DATABASE, name));
      const native = await database.openCollection(id);
      return {
        /** Calls of `query` with one request, in both ways. Vectors are row-major. */
        query(vectors, dimension, { nResults = 1, include = [], where, ids }) {
          const text = JSON.stringify({ n_results: nResults, include, where, ids });
          // Distances take the place of the vectors, which the package copies there each time.
          const memory = new Float32Array(vectors.length);
          return {
            native: () => {
              memory.set(vectors);
              return native.query(memory, dimension, text);
            },
            package: () => collection.query({ queryEmbeddings: vectors, dimension, nResults, include, where, ids }),
          };
        },
        /** Calls of `get` in both ways. */
        get(request) {
          const text = JSON.stringify(request);
          return { native: () => native.get(text), package: () => collection.get(request) };
        },
        count: () => ({ native: () => native.count(), package: () => collection.count() }),
        collection,
      };
    },
    async close() {
      await database.close();
      await client.close();
    },
  };
}

/** Single calls on the collection of few records. */
function calls({ count, query, get, collection }, vector) {
  const numbers = Array.from(vector);
  const distances = { nResults: FEW_ROWS, include: ["distances"] };
  return [
    { what: "count", ...count() },
    { what: "query for one id", ...query(vector, DIMENSION, {}) },
    { what: "query for 10 ids and distances", ...query(vector, DIMENSION, distances) },
    {
      what: "the same, the vector as number[]",
      package: () => collection.query({ queryEmbeddings: [numbers], ...distances }),
    },
    { what: "get of one id", ...get({ limit: 1, include: [] }) },
  ];
}

/** A slope over calls in both ways, as `callsWith(n)` gives them. */
const slope = (cost, what, range, callsWith) => ({
  cost,
  what,
  range,
  native: (n) => callsWith(n).native,
  package: (n) => callsWith(n).package,
});

function argumentSlopes({ query }, byDimension, entries) {
  const vector = entries.vectors.subarray(0, DIMENSION);
  const firstIntegers = (n) => Array.from({ length: n }, (_, value) => value);
  return [
    slope("argument", "float of a query vector", Object.keys(byDimension).map(Number), (n) =>
      byDimension[n].query(new Float32Array(n).fill(1), n, {}),
    ),
    slope("argument", `query of ${DIMENSION} floats, with its search`, [1, 50], (n) =>
      query(entries.vectors.subarray(0, n * DIMENSION), DIMENSION, {}),
    ),
    slope("argument", "id", [1, 500], (n) => query(vector, DIMENSION, { ids: entries.ids.slice(0, n) })),
    slope("argument", "operand of $in", [1, 500], (n) =>
      query(vector, DIMENSION, { where: { words: { $in: firstIntegers(n) } } }),
    ),
  ];
}

const COLUMNS = {
  "ids only": [],
  "ids and distances": ["distances"],
  "ids and documents": ["documents"],
  "ids and metadatas": ["metadatas"],
  [`ids and embeddings of ${DIMENSION}`]: ["embeddings"],
};

function resultSlopes({ query, get }, vector) {
  const range = [10, 500];
  return Object.entries(COLUMNS).flatMap(([what, include]) => {
    const ofQuery = slope("row of query", what, range, (n) => query(vector, DIMENSION, { nResults: n, include }));
    const ofGet = slope("row of get", what, range, (n) => get({ limit: n, include }));
    return include.includes("distances") ? [ofQuery] : [ofQuery, ofGet];
  });
}

const asRecords = ({ ids, documents, metadatas, vectors }) => ({
  ids,
  documents,
  metadatas,
  embeddings: vectors,
  dimension: DIMENSION,
});

export async function measure({ path, settings: { seconds } }) {
  const database = await openDatabase(path);
  const entries = readEntries(ROWS);
  const few = await database.create("few", asRecords(readEntries(FEW_ROWS)));
  const many = await database.create("many", asRecords(entries));
  const byDimension = {};
  for (const dimension of [1, 4_096]) {
    const records = { ids: ["a"], embeddings: new Float32Array(dimension).fill(1), dimension };
    byDimension[dimension] = await database.create(`dimension-${dimension}`, records);
  }
  const vector = entries.vectors.slice(0, DIMENSION);
  const rows = [];
  for (const call of calls(few, vector)) rows.push(await measureCall(call, seconds));
  const slopes = [...argumentSlopes(many, byDimension, entries), ...resultSlopes(many, vector)];
  for (const one of slopes) rows.push(await measureSlope(one, seconds));
  await database.close();
  return rows;
}
