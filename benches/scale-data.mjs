// Rows without end from seeded generators. Every row is a function of its number, so that nothing has to be held.
import { ALL_ROWS, DIMENSION, halfTable, KEYS, readHalves, readQueries, readRecords } from "./dataset.mjs";
import { BLOCK } from "./exact.mjs";

/**
 * Length of the noise, as a share of a vector's own. A copy is then as near to its original as cos 0.89 and to another copy as
 * cos 0.80; an entry's nearest other entry is at cos 0.76 (median). So copies are distinct, but about as near as neighbours are.
 */
export const NOISE = 0.5;

/** Rows of one cluster, on average. */
const ROWS_A_CLUSTER = 1_000;

/** A generator of uniform 32-bit integers (xorshift), seeded by two numbers. */
function integers(seed, salt) {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b)) | 1;
  // Neighbouring seeds begin with similar states: a few steps part them.
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
  for (let i = 0; i < 4; i++) next();
  return next;
}

/** Adds to `into` a vector of independent uniform components, whose length is `length` on average. */
function addNoise(into, length, next) {
  const scale = (length * Math.sqrt(3 / into.length)) / 2 ** 31;
  for (let i = 0; i < into.length; i++) into[i] += next() * scale;
}

/** The number of the WordNet entry that a row is or is a copy of. */
const base = (row) => row % ALL_ROWS;

/** The vectors of WordNet again and again: the first time as they are, then each copy with noise of its own. */
function replicatedVectors() {
  const halves = readHalves("vectors.f16", ALL_ROWS);
  const table = halfTable();
  return {
    dimension: DIMENSION,
    readVector(row, into) {
      const first = base(row) * DIMENSION;
      for (let i = 0; i < DIMENSION; i++) into[i] = table[halves[first + i]];
      if (row >= ALL_ROWS) addNoise(into, NOISE, integers(row, 1));
    },
  };
}

/** The WordNet entries again and again, with the records of their originals. */
function replicated() {
  const records = readRecords(ALL_ROWS);
  return {
    ...replicatedVectors(),
    keys: KEYS,
    id: (row) => `${records.ids[base(row)]}-${Math.floor(row / ALL_ROWS)}`,
    document: (row) => records.documents[base(row)],
    metadata: (row) => records.metadatas[base(row)],
    filters: [
      { where: { domain: "noun.artifact" } },
      { where: { domain: "verb.body" } },
      { where: { $and: [{ pos: "verb" }, { words: { $gte: 3 } }] } },
      { whereDocument: { $contains: "breath" } },
    ],
  };
}

const clusterCount = (rows) => Math.max(10, Math.round(rows / ROWS_A_CLUSTER));

/** What a source holds, in words. */
export const describeSource = ({ rows, dimension }) =>
  dimension === DIMENSION
    ? `WordNet again and again, copies with noise of ${NOISE} of a vector's length`
    : `${clusterCount(rows)} seeded clusters of uneven size, spread ${NOISE} of a centre's length`;

/** Clusters of uneven size around random centres, without documents. */
function clustered(rows, dimension) {
  const count = clusterCount(rows);
  const centres = new Float32Array(count * dimension);
  const centre = (cluster) => centres.subarray(cluster * dimension, (cluster + 1) * dimension);
  for (let cluster = 0; cluster < count; cluster++) addNoise(centre(cluster), 1, integers(cluster, 2));
  // Squaring makes the first clusters large and the last ones small.
  const clusterOf = (row) => Math.floor(count * ((integers(row, 3)() >>> 0) / 2 ** 32) ** 2);
  const readVector = (row, into) => {
    into.set(centre(clusterOf(row)));
    addNoise(into, NOISE, integers(row, 4));
  };
  const bucket = (row) => (integers(row, 5)() >>> 0) % 10_000;
  return {
    dimension,
    keys: { cluster: "integer", bucket: "integer" },
    readVector,
    id: (row) => `row-${row}`,
    document: null,
    metadata: (row) => ({ cluster: clusterOf(row), bucket: bucket(row) }),
    filters: [
      { where: { bucket: { $lt: 1_000 } } },
      { where: { bucket: { $lt: 50 } } },
      { where: { cluster: { $gte: Math.floor(count / 2) } } },
    ],
  };
}

/** The generator for a dimension: see {@link replicated} and {@link clustered}. */
export const openSource = ({ rows, dimension }) =>
  dimension === DIMENSION ? replicated() : clustered(rows, dimension);

/** The queries for a source, without the rows: WordNet's own, or further points of the same clusters. */
export function readScaleQueries({ rows, dimension, queries }) {
  if (dimension === DIMENSION) return readQueries(queries);
  const { readVector } = clustered(rows, dimension);
  return Array.from({ length: queries }, (_, query) => {
    const vector = new Float32Array(dimension);
    readVector(rows + query, vector);
    return vector;
  });
}

/** The vectors of rows `first..last` of a source, row-major. */
function readVectors({ dimension, readVector }, first, last) {
  const vectors = new Float32Array((last - first) * dimension);
  for (let row = first; row < last; row++) {
    const begin = (row - first) * dimension;
    readVector(row, vectors.subarray(begin, begin + dimension));
  }
  return vectors;
}

/** So many {@link replicatedVectors} by blocks, as exact.mjs takes them. */
export function* vectorBlocks(rows) {
  const source = replicatedVectors();
  for (let firstRow = 0; firstRow < rows; firstRow += BLOCK) {
    const vectors = readVectors(source, firstRow, Math.min(firstRow + BLOCK, rows));
    yield { firstRow, vectors, masks: [null] };
  }
}

/** Rows `first..last` of a source as a batch. Its memory is its own. */
export function readBatch(source, first, last) {
  const { dimension } = source;
  const numbers = Array.from({ length: last - first }, (_, i) => first + i);
  const vectors = readVectors(source, first, last);
  return {
    firstRow: first,
    ids: numbers.map(source.id),
    documents: source.document ? numbers.map(source.document) : undefined,
    metadatas: numbers.map(source.metadata),
    vectors,
    dimension,
  };
}
