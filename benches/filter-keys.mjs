// Metadata keys by which filters of any share can be asked, with a known relation to the queries. All are integers.
//
//   bucket, shard   0..9999, even and independent of the vectors and of one another: filters that are random to a query
//   serial          0..rows, a different value for every row, independent of the vectors: ranges over distinct values
//   near0..near3    0..9999: how near a row is to one group of queries, as a quantile. `near0 < 100` admits the nearest 1 %
//                   of all rows (correlated with the group's queries), `near0 >= 9900` the farthest (anti-correlated)
import { ALL_QUERIES, DIMENSION, KEYS, readQueries } from "./dataset.mjs";

/** Values of `bucket`, `shard` and the keys of groups. */
export const QUANTILES = 10_000;
/** Groups of queries. */
export const GROUPS = 4;
/** Queries of one group. */
export const GROUP_QUERIES = 50;

const nearKey = (group) => `near${group}`;

/** Keys and types of an entry with the keys above. */
export const FILTER_KEYS = {
  ...KEYS,
  bucket: "integer",
  shard: "integer",
  serial: "integer",
  ...Object.fromEntries(Array.from({ length: GROUPS }, (_, group) => [nearKey(group), "integer"])),
};

/** An even spread that depends on nothing but the row and the salt. */
function spread(row, salt) {
  let bits = Math.imul(row + 1, 0x9e3779b1) ^ salt;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return ((bits ^ (bits >>> 16)) >>> 0) % QUANTILES;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < DIMENSION; i++) sum += a[i] * b[i];
  return sum;
}

/** Positions of the values, greatest first. */
const descending = (values) => Array.from(values.keys()).sort((a, b) => values[b] - values[a]);

/**
 * The groups: a query of the set each, an even stride apart, with the queries most similar to it. Returns per group the
 * numbers of its queries, most similar first, and the sum of their vectors (all of unit length), its direction.
 */
export function queryGroups() {
  const queries = readQueries(ALL_QUERIES);
  return Array.from({ length: GROUPS }, (_, group) => {
    const anchor = queries[(group * ALL_QUERIES) / GROUPS];
    const similarities = queries.map((query) => dot(anchor, query));
    const members = descending(similarities).slice(0, GROUP_QUERIES);
    const direction = new Float64Array(DIMENSION);
    for (const member of members) for (let i = 0; i < DIMENSION; i++) direction[i] += queries[member][i];
    return { members, direction };
  });
}

/** The quantile of every row's similarity to `direction`, 0 the most similar. Vectors are of unit length. */
function quantiles(vectors, rows, direction) {
  const similarity = (row) => dot(direction, vectors.subarray(row * DIMENSION, (row + 1) * DIMENSION));
  const order = descending(Float64Array.from({ length: rows }, (_, row) => similarity(row)));
  const quantile = new Uint16Array(rows);
  for (const [rank, row] of order.entries()) quantile[row] = Math.floor((rank * QUANTILES) / rows);
  return quantile;
}

/** Steps through all rows without repeating one: a prime that divides no count of rows below it. */
const STRIDE = 2_654_435_761;

/** Entries with the keys of {@link FILTER_KEYS}. */
export function withFilterKeys(entries) {
  const rows = entries.ids.length;
  const near = queryGroups().map(({ direction }) => quantiles(entries.vectors, rows, direction));
  const metadatas = entries.metadatas.map((metadata, row) => ({
    ...metadata,
    bucket: spread(row, 0),
    shard: spread(row, 0x5bd1e995),
    serial: (row * STRIDE) % rows,
    ...Object.fromEntries(near.map((quantile, group) => [nearKey(group), quantile[row]])),
  }));
  return { ...entries, metadatas };
}

/** The key that tells how near a row is to a group of queries. */
export { nearKey };
