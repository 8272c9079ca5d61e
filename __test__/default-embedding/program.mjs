// Embeds WordNet entries as a program would; started by default-embedding.test.ts, which reads what it prints.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { env } from "@huggingface/transformers";
import { DefaultEmbeddingFunction, PersistentClient, TruncatedEmbeddingFunction } from "ferrochrome";

const [models, wordnet, path] = process.argv.slice(2);
const ROWS = 64;
const DIMENSION = 384;
const QUERIES = 20;

env.localModelPath = models;
env.allowRemoteModels = false;

const lines = (file, rows) =>
  gunzipSync(readFileSync(`${wordnet}/${file}`))
    .toString("utf8")
    .split("\n", rows)
    .map((line) => JSON.parse(line));

/** A half-precision float as a number. */
function half(bits) {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

function knownVectors(file, rows) {
  const bytes = readFileSync(`${wordnet}/${file}`);
  const row = (i) => Array.from({ length: DIMENSION }, (_, j) => half(bytes.readUInt16LE((i * DIMENSION + j) * 2)));
  return Array.from({ length: rows }, (_, i) => row(i));
}

const cosine = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0) / (Math.hypot(...a) * Math.hypot(...b));
const nearest = (vector, all) =>
  all.reduce((best, other, i) => (cosine(vector, other) > cosine(vector, all[best]) ? i : best), 0);

const documents = lines("records.jsonl.gz", ROWS).map(({ document }) => document);
const known = knownVectors("vectors.f16", ROWS);

const embeddingFunction = new DefaultEmbeddingFunction({ modelName: "all-MiniLM-L6-v2", dtype: "q8" });
const client = new PersistentClient({ path });
const collection = await client.createCollection({ name: "entries", embeddingFunction });
await collection.add({ ids: documents.map((_, i) => String(i)), documents });
const { embeddings } = await collection.get({ include: ["embeddings"] });
const cosines = embeddings.map((vector, i) => cosine(vector, known[i]));
await client.close();

// Another client finds the model by what is stored.
const again = new PersistentClient({ path });
const entries = await again.getCollection({ name: "entries" });
const found = await entries.query({ queryTexts: documents.slice(0, QUERIES), nResults: 1 });

const truncated = new TruncatedEmbeddingFunction({ embeddingFunction, dimensions: 128 });
const short = await again.createCollection({ name: "short", embeddingFunction: truncated });
await short.add({ ids: ["a", "b"], documents: ["a kind of metal", "a piece of music"] });
const shortHits = await short.query({ queryTexts: ["iron and steel"], nResults: 1 });
const shortVectors = (await short.get({ include: ["embeddings"] })).embeddings;

const missing = new DefaultEmbeddingFunction({ modelName: "no-such-model" });
const failure = await missing.generate(["x"]).catch(({ name, message }) => ({ name, message }));
await again.close();

console.log(
  JSON.stringify({
    space: entries.configuration.hnsw.space,
    least: Math.min(...cosines),
    mean: cosines.reduce((sum, value) => sum + value, 0) / ROWS,
    nearest: embeddings.filter((vector, i) => nearest(vector, known) === i).length,
    found: found.ids.filter(([id], i) => id === String(i)).length,
    short: {
      hits: shortHits.ids,
      dimensions: shortVectors.map(({ length }) => length),
      norm: Math.hypot(...shortVectors[0]),
    },
    failure,
  }),
);
