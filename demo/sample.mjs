// Reads the bundled sample (see sample/README.md).
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Entries in the sample. */
export const ENTRIES = 10_000;
/** Floats in one embedding. */
export const DIMENSION = 384;

/** Widens little-endian IEEE halves to floats. */
function widenHalves(bytes) {
  const halves = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const floats = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < floats.length; i++) {
    const half = halves.getUint16(i * 2, true);
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    floats[i] = half & 0x8000 ? -magnitude : magnitude;
  }
  return floats;
}

const read = (name) => readFileSync(new URL(`sample/${name}`, import.meta.url));
const parseLines = (bytes) => bytes.toString("utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

/** The entries: their records, and their embeddings as one row-major Float32Array. */
export function readEntries() {
  return { records: parseLines(gunzipSync(read("records.jsonl.gz"))), embeddings: widenHalves(read("vectors.f16")) };
}

/** The sentences to ask for: `{ text, illustrates, embedding }`. */
export function readSentences() {
  const embeddings = widenHalves(read("queries.f16"));
  return parseLines(read("queries.jsonl")).map((sentence, row) => ({
    ...sentence,
    embedding: embeddings.subarray(row * DIMENSION, (row + 1) * DIMENSION),
  }));
}
