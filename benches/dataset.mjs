// The WordNet data set (117,659 real sentence embeddings with text and metadata), which lies beside the repository.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

/** Where the data set lies. */
export const folder = fileURLToPath(new URL("../../shared/data/wordnet/", import.meta.url));

/** Floats in one embedding. */
export const DIMENSION = 384;
/** Entries in the whole set. */
export const ALL_ROWS = 117_659;
/** Query sentences in the whole set. */
export const ALL_QUERIES = 2_000;
/** Neighbours asked for and judged, everywhere. */
export const K = 10;
/** Metadata keys of every entry and their types, which some stores want to know beforehand. */
export const KEYS = { pos: "string", domain: "string", words: "integer", links: "integer" };
/** Exact neighbours that the set brings for each query, over all rows. */
const NEIGHBORS_STORED = 100;

/** What to tell a user whose copy is missing, or null when it is there. */
export function missingDataset() {
  if (existsSync(`${folder}vectors.f16`)) return null;
  return (
    "The benches need the WordNet data set at ../shared/data/wordnet, relative to the repository\n" +
    "(vectors.f16, records.jsonl.gz, queries.f16, queries.jsonl.gz, neighbors_cosine_100.u32); it is not there."
  );
}

/** All 65,536 halves as floats: widening by look-up is the fastest way in plain JavaScript. */
export function halfTable() {
  const table = new Float32Array(65_536);
  for (let half = 0; half < 65_536; half++) {
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[half] = half & 0x8000 ? -magnitude : magnitude;
  }
  return table;
}

/** The first `rows` vectors of a file as the halves that they are stored as, row-major. */
export function readHalves(file, rows) {
  const bytes = readFileSync(folder + file);
  return new Uint16Array(bytes.buffer, bytes.byteOffset, rows * DIMENSION);
}

function readVectors(file, rows) {
  const halves = readHalves(file, rows);
  const table = halfTable();
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]];
  return floats;
}

const readLines = (file) =>
  gunzipSync(readFileSync(folder + file))
    .toString("utf8")
    .trimEnd()
    .split("\n");

/** The first `count` query sentences as Float32Arrays. */
export function readQueries(count) {
  const floats = readVectors("queries.f16", count);
  return Array.from({ length: count }, (_, row) => floats.subarray(row * DIMENSION, (row + 1) * DIMENSION));
}

/** The id of the entry that each of the first `count` query sentences illustrates. */
export function readQueryTargets(count) {
  return readLines("queries.jsonl.gz")
    .slice(0, count)
    .map((line) => JSON.parse(line).synset);
}

/** The ids of the first `rows` entries. */
export function readIds(rows) {
  return readLines("records.jsonl.gz")
    .slice(0, rows)
    .map((line) => JSON.parse(line).id);
}

/** Row numbers of the ten exact nearest of all entries, per query. */
export function readExactNeighbors(queries, k) {
  const bytes = readFileSync(`${folder}neighbors_cosine_100.u32`);
  return Array.from({ length: queries }, (_, query) =>
    Array.from({ length: k }, (_, rank) => bytes.readUInt32LE((query * NEIGHBORS_STORED + rank) * 4)),
  );
}

/** The first `rows` records: ids, documents and metadata. */
export function readRecords(rows) {
  const records = readLines("records.jsonl.gz")
    .slice(0, rows)
    .map((line) => JSON.parse(line));
  return {
    ids: records.map(({ id }) => id),
    documents: records.map(({ document }) => document),
    metadatas: records.map(({ metadata }) => metadata),
  };
}

/** The first `rows` entries: their records and one row-major Float32Array. */
export const readEntries = (rows) => ({ ...readRecords(rows), vectors: readVectors("vectors.f16", rows) });

/** Cuts entries into batches, as every store is given them. */
export function* batches({ ids, documents, metadatas, vectors }, size) {
  for (let first = 0; first < ids.length; first += size) {
    const last = Math.min(first + size, ids.length);
    yield {
      firstRow: first,
      ids: ids.slice(first, last),
      documents: documents.slice(first, last),
      metadatas: metadatas.slice(first, last),
      vectors: vectors.subarray(first * DIMENSION, last * DIMENSION),
      dimension: DIMENSION,
    };
  }
}
