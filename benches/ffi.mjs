// What it costs to cross from JavaScript into the addon and back: per call, per value of an argument, per row of a result.
// Each call is made directly ("native") and through the package ("package"), whose share is validation and JSON.
import { createRequire } from "node:module";
import { batches, DIMENSION, KEYS, readEntries } from "./dataset.mjs";
import { formats } from "./table.mjs";

export const stores = ["ferrochrome"];
export const defaultsOnly = true;

export const needs = {};

export const columns = [
  { title: "cost", key: "cost", format: formats.text },
  { title: "of", key: "what", format: formats.text },
  { title: "native us", key: "native", format: formats.thousandths },
  { title: "package us", key: "package", format: formats.thousandths },
  { title: "answered", key: "answered", format: formats.text },
];

export const legend =
  "Microseconds of an awaited call, the median of 15 loops; costs per value and per row are the slope between a short and a long\n" +
  'argument or result. "at once" is answered on the calling thread, "promise" by the addon\'s own threads. What the call does inside\n' +
  "the addon (looking an id up, searching) is part of the figure.";

/** Records of the collection that is asked. */
const ROWS = 1_000;
const LOOPS = 15;
/** A loop is repeated calls for at least this long. */
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

/** Microseconds of one call: the median of several loops, each long enough for the clock. */
async function perCall(call) {
  let count = 1;
  while ((await timeLoop(call, count)) < LOOP_MILLISECONDS) count *= 2;
  const times = [];
  for (let i = 0; i < LOOPS; i++) times.push(((await timeLoop(call, count)) / count) * 1_000);
  return times.sort((a, b) => a - b)[Math.floor(LOOPS / 2)];
}

const answered = (call) => (call() instanceof Promise ? "promise" : "at once");

/** A row of the table for one call. */
const callRow = async (what, native, throughPackage) => ({
  cost: "call",
  what,
  native: native && (await perCall(native)),
  package: throughPackage && (await perCall(throughPackage)),
  answered: native && answered(native),
});

/** A row for what each further value costs: `native(n)` and `throughPackage(n)` return the call with n values. */
async function slopeRow(cost, what, [few, many], native, throughPackage) {
  const slope = async (callOf) =>
    callOf && ((await perCall(callOf(many))) - (await perCall(callOf(few)))) / (many - few);
  return {
    cost,
    what,
    native: await slope(native),
    package: await slope(throughPackage),
    answered: native && `${answered(native(few))}, ${answered(native(many))}`,
  };
}

/** The same collection twice: as the package gives it, and as the addon does. */
async function openBoth(path, name) {
  const { PersistentClient, DEFAULT_TENANT, DEFAULT_DATABASE } = await import("../dist/index.js");
  const { NativeDatabase } = createRequire(import.meta.url)("../binding/native.cjs");
  const client = new PersistentClient({ path });
  const collection = await client.getCollection({ name });
  const database = await NativeDatabase.open(path, "{}");
  const { id } = JSON.parse(await database.getCollection(DEFAULT_TENANT, DEFAULT_DATABASE, name));
  const native = await database.openCollection(id);
  const close = async () => {
    await database.close();
    await client.close();
  };
  return { collection, native, close };
}

const INCLUDES = {
  "ids only": [],
  "ids, distances": ["distances"],
  "ids, documents": ["documents"],
  "ids, metadatas": ["metadatas"],
  "ids, embeddings": ["embeddings"],
};

function callRows({ collection, native }, vector) {
  const query = { n_results: 1, include: [] };
  const parsed = (reply) => JSON.parse(typeof reply === "string" ? reply : reply.text);
  return [
    () =>
      callRow(
        "count()",
        () => native.count(),
        () => collection.count(),
      ),
    () =>
      callRow(
        "query, one vector, one id",
        () => native.query(vector, DIMENSION, JSON.stringify(query)),
        () => collection.query({ queryEmbeddings: [vector], nResults: 1, include: [] }),
      ),
    () =>
      callRow(
        "query, one vector, 10 ids and distances",
        () => parsed(native.query(vector, DIMENSION, JSON.stringify({ n_results: 10, include: ["distances"] }))),
        () => collection.query({ queryEmbeddings: [vector], nResults: 10, include: ["distances"] }),
      ),
    () => {
      const numbers = Array.from(vector);
      return callRow("the same, vector as number[]", null, () =>
        collection.query({ queryEmbeddings: [numbers], nResults: 10, include: ["distances"] }),
      );
    },
    () =>
      callRow(
        "get, one id",
        () => native.get(JSON.stringify({ limit: 1, include: [] })),
        () => collection.get({ limit: 1, include: [] }),
      ),
  ];
}

function argumentRows({ collection, native }, entries, vector) {
  const ids = (count) => entries.ids.slice(0, count);
  const among = (count) => ({ words: { $in: Array.from({ length: count }, (_, value) => value) } });
  const request = (filter) => JSON.stringify({ n_results: 1, include: [], ...filter });
  const asked = (filter) => () => collection.query({ queryEmbeddings: [vector], nResults: 1, include: [], ...filter });
  const of = (filter) => {
    const text = request(filter);
    return () => native.query(vector, DIMENSION, text);
  };
  const vectors = (count) => entries.vectors.subarray(0, count * DIMENSION);
  return [
    () =>
      slopeRow(
        "argument",
        "id",
        [1, 500],
        (n) => of({ ids: ids(n) }),
        (n) => asked({ ids: ids(n) }),
      ),
    () =>
      slopeRow(
        "argument",
        "operand of $in",
        [1, 500],
        (n) => of({ where: among(n) }),
        (n) => asked({ where: among(n) }),
      ),
    () =>
      slopeRow(
        "argument",
        `query vector of ${DIMENSION} (and its search)`,
        [1, 100],
        (n) => () => native.query(vectors(n), DIMENSION, request({})),
        (n) => () => collection.query({ queryEmbeddings: vectors(n), dimension: DIMENSION, nResults: 1, include: [] }),
      ),
  ];
}

function resultRows({ collection, native }, vector) {
  const range = [10, 500];
  return Object.entries(INCLUDES).flatMap(([what, include]) => [
    () =>
      slopeRow(
        "result row of query",
        what,
        range,
        (n) => () => native.query(vector, DIMENSION, JSON.stringify({ n_results: n, include })),
        (n) => () => collection.query({ queryEmbeddings: [vector], nResults: n, include }),
      ),
    ...(include.includes("distances")
      ? []
      : [
          () =>
            slopeRow(
              "result row of get",
              what,
              range,
              (n) => () => native.get(JSON.stringify({ limit: n, include })),
              (n) => () => collection.get({ limit: n, include }),
            ),
        ]),
  ]);
}

/** The cost of the float arguments alone: collections of one record each, with vectors of one and of many dimensions. */
async function floatRow(client, path) {
  const range = [1, 4_096];
  const native = {};
  const throughPackage = {};
  const opened = [];
  for (const dimension of range) {
    const name = `dimension-${dimension}`;
    const vector = new Float32Array(dimension).fill(1);
    const created = await client.createCollection({ name, embeddingFunction: null });
    await created.add({ ids: ["a"], embeddings: [vector] });
    const both = await openBoth(path, name);
    opened.push(both);
    const request = JSON.stringify({ n_results: 1, include: [] });
    native[dimension] = () => both.native.query(vector, dimension, request);
    throughPackage[dimension] = () => both.collection.query({ queryEmbeddings: [vector], nResults: 1, include: [] });
  }
  const row = await slopeRow(
    "argument",
    "float of a query vector",
    range,
    (n) => native[n],
    (n) => throughPackage[n],
  );
  for (const { close } of opened) await close();
  return row;
}

export async function measure({ adapter, variant, path }) {
  const entries = readEntries(ROWS);
  const store = await adapter.create(path, variant, { rows: ROWS, keys: KEYS });
  for (const batch of batches(entries, ROWS)) await store.insert(batch);
  await store.finish();
  await store.close();

  const both = await openBoth(path, "wordnet");
  const vector = entries.vectors.slice(0, DIMENSION);
  const rows = [];
  const measurements = [...callRows(both, vector), ...argumentRows(both, entries, vector), ...resultRows(both, vector)];
  for (const next of measurements) rows.push(await next());
  await both.close();

  const { PersistentClient } = await import("../dist/index.js");
  const client = new PersistentClient({ path });
  rows.push(await floatRow(client, path));
  await client.close();
  return rows;
}
