// A fresh process that opens the database at a folder for reading and asks queries: node benches/reopened.mjs <folder> <queries>.
// Prints JSON; times in milliseconds, memory in MiB.
import { K, readQueries } from "./dataset.mjs";
import { residentMemory } from "./process-memory.mjs";

/** The search width: Chroma's default. */
const EF = 100;

const [, , path, count] = process.argv;
const vectors = readQueries(Number(count));
const before = residentMemory().rss;
const started = performance.now();
const { PersistentClient } = await import("../dist/index.js");
const imported = performance.now();
const client = new PersistentClient({ path, readOnly: true });
const collection = await client.getCollection({ name: "wordnet", embeddingFunction: null });
const opened = performance.now();
const ask = (vector) =>
  collection.query({ queryEmbeddings: [vector], nResults: K, include: ["distances"], searchParams: { ef: EF } });
await ask(vectors[0]);
const answered = performance.now();
for (const vector of vectors) await ask(vector);
const asked = performance.now();
const { parts } = await collection.explain({ queryEmbeddings: [vectors[0]], nResults: K });
console.log(
  JSON.stringify({
    openTime: opened - imported,
    queryTime: answered - opened,
    openQueryTime: answered - imported,
    allTime: answered - started,
    qps: (vectors.length / (asked - answered)) * 1_000,
    added: residentMemory().rss - before,
    segments: parts.filter(({ kind }) => kind === "segment").length,
  }),
);
await client.close();
