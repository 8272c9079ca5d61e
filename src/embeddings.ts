/** Vectors as people write them to one row-major Float32Array, and back. */
import { badRequest, ChromaValueError } from "./errors.js";
import type { Embeddings } from "./types.js";
import { countEmbeddings, isFlat } from "./validate.js";

/** Numbers of a larger magnitude round to infinity as 32-bit floats. */
const LARGEST_F32 = 3.4028235677973362e38;

/** What crosses to native code and back: the vectors of a query, and the distances of its answer in their place. */
export interface QueryMemory {
  /** Row-major values, `rows * dimension` of them. */
  vectors: Float32Array;
  /** As many as fit into the same memory. */
  distances: Float64Array;
}

/** Queries ready to cross to native code. */
export interface PackedQueries {
  memory: QueryMemory;
  /** Values per row. */
  dimension: number;
}

/** Names a row in messages, for example `id 'a' (index 0)`. */
export type RowName = (row: number) => string;

/** What the packing of one request needs to know for its messages. */
export interface PackContext {
  /** Route of the request, as it appears in messages. */
  route: string;
  /** Names a row in messages. */
  rowName: RowName;
}

/** Longest memory that is kept for later queries, in values. */
const MOST_KEPT_VALUES = 1 << 14;
/** Most queries whose memory is kept. */
const MOST_KEPT = 64;
/** Memory of queries that were answered, all of one length: to make a typed array takes longer than to fill it. */
let kept: QueryMemory[] = [];

/**
 * Packs the vectors of a query, checking them as {@link Packer} does: always as a copy, since queries are handed over a little
 * later, and distances take their place.
 *
 * @throws ChromaValueError naming the query when a value is not a finite number.
 */
export function packQueries(
  embeddings: Embeddings,
  dimension: number | undefined,
  context: PackContext,
): PackedQueries {
  const packer = new Packer(embeddings, dimension, context);
  const length = packer.rows * packer.dimension;
  const last = kept.pop();
  const memory = last?.vectors.length === length ? last : newMemory(length);
  packer.packInto(memory.vectors);
  return { memory, dimension: packer.dimension };
}

function newMemory(length: number): QueryMemory {
  const distances = new Float64Array((length + 1) >> 1);
  return { vectors: new Float32Array(distances.buffer, 0, length), distances };
}

/** Keeps the memory of an answered query for later ones. Nothing else may hold it. */
export function keepMemory(memory: QueryMemory): void {
  const { length } = memory.vectors;
  if (length > MOST_KEPT_VALUES || kept.length >= MOST_KEPT) return;
  if (kept[0] !== undefined && kept[0].vectors.length !== length) kept = [];
  kept.push(memory);
}

/** Packs vectors slice by slice, checking that they are finite and of one dimension. */
export class Packer {
  /** Values per row. */
  readonly dimension: number;
  /** Number of vectors. */
  readonly rows: number;
  private readonly source: Embeddings;
  private readonly context: PackContext;
  /** Where lists of vectors are packed: the same memory for every slice. */
  private room: Float32Array | undefined;

  constructor(source: Embeddings, dimension: number | undefined, context: PackContext) {
    this.source = source;
    this.context = context;
    this.rows = countEmbeddings(source, dimension);
    this.dimension = isFlat(source) ? (dimension ?? 0) : (source[0]?.length ?? 0);
  }

  /**
   * Rows `from..to` in row-major order, to be used before the next call.
   *
   * @throws ChromaValueError naming the record when a value is not a finite number.
   */
  pack(from: number, to: number): Float32Array {
    const { source } = this;
    if (isFlat(source)) return this.packFlat(source, from, to);
    const length = (to - from) * this.dimension;
    if (this.room === undefined || this.room.length < length) this.room = new Float32Array(length);
    const vectors = this.room.subarray(0, length);
    this.packList(source, from, to, vectors);
    return vectors;
  }

  /**
   * Copies all rows into `vectors`, which has `rows * dimension` values.
   *
   * @throws ChromaValueError as {@link pack}.
   */
  packInto(vectors: Float32Array): void {
    if (isFlat(this.source)) {
      vectors.set(this.source);
      this.checkRows(vectors, 0, this.rows);
    } else this.packList(this.source, 0, this.rows, vectors);
  }

  private packList(source: readonly ArrayLike<number>[], from: number, to: number, vectors: Float32Array): void {
    for (let row = from; row < to; row++) {
      const embedding = source[row];
      if (embedding === undefined || embedding.length !== this.dimension) {
        throw badRequest(this.context.route, "Inconsistent dimensions in provided embeddings");
      }
      const start = (row - from) * this.dimension;
      if (embedding instanceof Float32Array) {
        vectors.set(embedding, start);
        this.checkFinite(vectors, start, row);
      } else this.packNumbers(embedding, vectors, start, row);
    }
  }

  private packFlat(source: Float32Array, from: number, to: number): Float32Array {
    const { dimension } = this;
    const whole = from === 0 && to === this.rows;
    const rows = whole ? source : source.subarray(from * dimension, to * dimension);
    // Memory that another thread may write must not change between check and use.
    const vectors = rows.buffer instanceof ArrayBuffer ? rows : rows.slice();
    this.checkRows(vectors, from, to);
    return vectors;
  }

  private checkRows(vectors: Float32Array, from: number, to: number): void {
    for (let row = from; row < to; row++) this.checkFinite(vectors, (row - from) * this.dimension, row);
  }

  private packNumbers(embedding: ArrayLike<unknown>, vectors: Float32Array, start: number, row: number): void {
    const { dimension } = this;
    for (let i = 0; i < dimension; i++) {
      const value = embedding[i];
      if (typeof value !== "number" || !(value >= -LARGEST_F32 && value <= LARGEST_F32)) {
        throw this.notFinite(value, row, i);
      }
      vectors[start + i] = value;
    }
  }

  private checkFinite(vectors: Float32Array, start: number, row: number): void {
    const { dimension } = this;
    if (isFinite4(vectors, start, start + dimension)) return;
    for (let i = 0; i < dimension; i++) {
      if (!Number.isFinite(vectors[start + i])) throw this.notFinite(vectors[start + i], row, i);
    }
  }

  private notFinite(value: unknown, row: number, position: number): ChromaValueError {
    const found = typeof value === "number" ? String(value) : typeof value;
    return new ChromaValueError(
      `Embeddings must not contain NaN or Infinity values: expected a finite 32-bit float at position ${position} of ${this.context.rowName(row)}, but got ${found}`,
    );
  }
}

/**
 * Whether all values are finite: what is not, times zero, is NaN. Four sums at once do not wait for one another; declared as one
 * pattern, they would not be kept as plain numbers, which takes three times as long.
 */
function isFinite4(values: Float32Array, from: number, to: number): boolean {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = from;
  for (; i + 3 < to; i += 4) {
    a += (values[i] as number) * 0;
    b += (values[i + 1] as number) * 0;
    c += (values[i + 2] as number) * 0;
    d += (values[i + 3] as number) * 0;
  }
  for (; i < to; i++) a += (values[i] as number) * 0;
  return a + b + c + d === 0;
}

/** The values `from..to` as a list. `Array.from` takes nine times as long. */
export function numbers(values: Float64Array, from: number, to: number): number[] {
  const list: number[] = new Array(to - from);
  for (let i = from; i < to; i++) list[i - from] = values[i] as number;
  return list;
}

/** Splits a row-major array into `rows` arrays of numbers. */
export function unpackEmbeddings(values: Float64Array, rows: number): number[][] {
  if (rows === 0) return [];
  const dimension = values.length / rows;
  const embeddings: number[][] = new Array(rows);
  for (let row = 0; row < rows; row++) {
    embeddings[row] = numbers(values, row * dimension, (row + 1) * dimension);
  }
  return embeddings;
}
