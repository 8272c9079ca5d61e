// Exact nearest neighbours by cosine distance, by which recall is judged: a brute force over every row.

/** Rows that stay in the processor's cache while all queries are compared with them. */
export const BLOCK = 1_000;

/** The reciprocal norm of every row. */
function reciprocalNorms(vectors, dimension) {
  const norms = new Float64Array(vectors.length / dimension);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let i = row * dimension; i < (row + 1) * dimension; i++) sum += vectors[i] * vectors[i];
    norms[row] = 1 / Math.sqrt(sum);
  }
  return norms;
}

/** Cosine similarity of one query with every row, up to the query's own norm. */
function similarities(vectors, norms, query, into) {
  const dimension = query.length;
  for (let row = 0; row < norms.length; row++) {
    const base = row * dimension;
    // Four sums that do not wait for one another: a single one is bound by the latency of the addition.
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    let i = 0;
    for (; i + 4 <= dimension; i += 4) {
      a += vectors[base + i] * query[i];
      b += vectors[base + i + 1] * query[i + 1];
      c += vectors[base + i + 2] * query[i + 2];
      d += vectors[base + i + 3] * query[i + 3];
    }
    for (; i < dimension; i++) a += vectors[base + i] * query[i];
    into[row] = (a + b + c + d) * norms[row];
  }
}

/** Keeps the rows of the `k` greatest values in `nearest`, greatest first, given a block's; `mask` admits all when null. */
function keepGreatest(nearest, values, count, firstRow, mask, k) {
  for (let i = 0; i < count; i++) {
    if (mask && !mask[i]) continue;
    if (nearest.length === k && values[i] <= nearest[k - 1].value) continue;
    let at = nearest.length;
    while (at > 0 && nearest[at - 1].value < values[i]) at--;
    nearest.splice(at, 0, { row: firstRow + i, value: values[i] });
    if (nearest.length > k) nearest.pop();
  }
}

/**
 * For each of `filters` filters, for each query, the rows of its `k` nearest. `blocks` yields all rows:
 * `{ firstRow, vectors, masks }` with row-major vectors and one mask a filter, a Uint8Array with one byte a row, or null
 * for all rows.
 */
export function exactNeighborsOfStream(blocks, queries, k, filters) {
  const answers = Array.from({ length: filters }, () => queries.map(() => []));
  for (const { firstRow, vectors, masks } of blocks) {
    const norms = reciprocalNorms(vectors, queries[0].length);
    const values = new Float64Array(norms.length);
    for (const [query, vector] of queries.entries()) {
      similarities(vectors, norms, vector, values);
      for (const [i, mask] of masks.entries()) {
        keepGreatest(answers[i][query], values, norms.length, firstRow, mask, k);
      }
    }
  }
  return answers.map((queries) => queries.map((nearest) => nearest.map(({ row }) => row)));
}

function* blocksOf(vectors, dimension, masks) {
  const rows = vectors.length / dimension;
  for (let first = 0; first < rows; first += BLOCK) {
    const last = Math.min(first + BLOCK, rows);
    yield {
      firstRow: first,
      vectors: vectors.subarray(first * dimension, last * dimension),
      masks: masks.map((mask) => mask?.subarray(first, last) ?? null),
    };
  }
}

/** The same over vectors that are in memory. Distances are computed once, whatever the number of masks. */
export const exactNeighbors = (vectors, queries, k, masks) =>
  exactNeighborsOfStream(blocksOf(vectors, queries[0].length, masks), queries, k, masks.length);
