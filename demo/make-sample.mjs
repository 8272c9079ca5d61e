// Regenerates demo/sample from the full WordNet data set, which lies beside the repository as
// ../shared/data/wordnet: 10,000 of its 117,659 entries with their embeddings, and 24 sentences to ask for.
//
//     node demo/make-sample.mjs
//
// The choice is deterministic. Every demo sentence brings the entry that it illustrates and its 40 exact
// nearest neighbours, so that the demo's answers are those of the full set; the rest is taken at even
// distances through the whole of WordNet.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { DIMENSION, ENTRIES } from "./sample.mjs";

const NEIGHBORS_STORED = 100;
const NEIGHBORS_TAKEN = 40;
const ROW_BYTES = DIMENSION * 2;

/** Rows of queries.jsonl.gz: sentences whose illustrated entry is among their three nearest. */
const QUERY_ROWS = [
  526, 1728, 516, 690, 697, 1431, 1339, 530, 1696, 1295, 1851, 1292, 620, 582, 1551, 726, 144, 347, 488, 1812, 107, 1312,
  1383, 1223,
];

const source = fileURLToPath(new URL("../../shared/data/wordnet/", import.meta.url));
const target = fileURLToPath(new URL("sample/", import.meta.url));

const readLines = (file) => gunzipSync(readFileSync(source + file)).toString("utf8").trimEnd().split("\n");

/** The rows of the full set that the sample holds, ascending. */
function chooseRows(records, queries, neighbors) {
  const rowById = new Map(records.map((line, row) => [JSON.parse(line).id, row]));
  const chosen = new Set();
  for (const query of QUERY_ROWS) {
    chosen.add(rowById.get(queries[query].synset));
    for (let rank = 0; rank < NEIGHBORS_TAKEN; rank++) {
      chosen.add(neighbors.readUInt32LE((query * NEIGHBORS_STORED + rank) * 4));
    }
  }
  const others = records.map((_, row) => row).filter((row) => !chosen.has(row));
  const wanted = ENTRIES - chosen.size;
  for (let i = 0; i < wanted; i++) chosen.add(others[Math.floor((i * others.length) / wanted)]);
  return [...chosen].sort((a, b) => a - b);
}

function takeRows(vectors, rows) {
  return Buffer.concat(rows.map((row) => vectors.subarray(row * ROW_BYTES, (row + 1) * ROW_BYTES)));
}

if (!existsSync(`${source}vectors.f16`)) {
  console.error("The full data set is not there: expected ../shared/data/wordnet/vectors.f16 beside the repository.");
  process.exit(1);
}
const records = readLines("records.jsonl.gz");
const queries = readLines("queries.jsonl.gz").map((line) => JSON.parse(line));
const rows = chooseRows(records, queries, readFileSync(`${source}neighbors_cosine_100.u32`));

mkdirSync(target, { recursive: true });
writeFileSync(`${target}vectors.f16`, takeRows(readFileSync(`${source}vectors.f16`), rows));
writeFileSync(
  `${target}records.jsonl.gz`,
  gzipSync(`${rows.map((row) => records[row]).join("\n")}\n`, { level: 9 }),
);
writeFileSync(`${target}queries.f16`, takeRows(readFileSync(`${source}queries.f16`), QUERY_ROWS));
writeFileSync(
  `${target}queries.jsonl`,
  `${QUERY_ROWS.map((row) => JSON.stringify({ text: queries[row].text, illustrates: queries[row].synset })).join("\n")}\n`,
);
writeFileSync(`${target}LICENSE-WordNet`, readFileSync(`${source}LICENSE-WordNet`));
console.log(`Wrote ${rows.length} entries and ${QUERY_ROWS.length} sentences to demo/sample.`);
