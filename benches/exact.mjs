// Exact nearest neighbours by cosine distance, by which recall is judged.
import { DIMENSION } from "./dataset.mjs";

/** The reciprocal norm of every row. */
function reciprocalNorms(vectors) {
  const norms = new Float64Array(vectors.length / DIMENSION);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let i = row * DIMENSION; i < (row + 1) * DIMENSION; i++) sum += vectors[i] * vectors[i];
    norms[row] = 1 / Math.sqrt(sum);
  }
  return norms;
}

/** Cosine similarity of one query with every row, up to the query's own norm. */
function similarities(vectors, norms, query, into) {
  for (let row = 0; row < norms.length; row++) {
    const base = row * DIMENSION;
    // Four sums that do not wait for one another: a single one is bound by the latency of the addition.
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let i = 0; i < DIMENSION; i += 4) {
      a += vectors[base + i] * query[i];
      b += vectors[base + i + 1] * query[i + 1];
      c += vectors[base + i + 2] * query[i + 2];
      d += vectors[base + i + 3] * query[i + 3];
    }
    into[row] = (a + b + c + d) * norms[row];
  }
}

/** Rows of the `k` greatest values, greatest first, among those that `mask` admits (all when it is null). */
function greatest(values, k, mask) {
  const rows = [];
  for (let row = 0; row < values.length; row++) {
    if (mask && !mask[row]) continue;
    if (rows.length === k && values[row] <= values[rows[k - 1]]) continue;
    let at = rows.length;
    while (at > 0 && values[rows[at - 1]] < values[row]) at--;
    rows.splice(at, 0, row);
    if (rows.length > k) rows.pop();
  }
  return rows;
}

/**
 * For each mask, for each query, the rows of its `k` nearest. A mask is a Uint8Array with one byte a row, or null for
 * all rows. Distances are computed once, whatever the number of masks.
 */
export function exactNeighbors(vectors, queries, k, masks) {
  const norms = reciprocalNorms(vectors);
  const values = new Float64Array(norms.length);
  const answers = masks.map(() => []);
  for (const query of queries) {
    similarities(vectors, norms, query, values);
    for (const [i, mask] of masks.entries()) answers[i].push(greatest(values, k, mask));
  }
  return answers;
}
