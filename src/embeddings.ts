/** Vectors as people write them to one row-major Float32Array, and back. */
import { badRequest, ChromaValueError } from "./errors.js";
import { inSlices } from "./event-loop.js";
import type { Embeddings } from "./types.js";
import { countEmbeddings, isFlat } from "./validate.js";

/** Numbers of a larger magnitude round to infinity as 32-bit floats. */
const LARGEST_F32 = 3.4028235677973362e38;

/** Values packed without yielding to the event loop. */
const SMALL_BATCH_VALUES = 1 << 20;

/** Vectors ready to cross to native code. */
export interface PackedEmbeddings {
  /** Row-major values, `rows * dimension` of them. */
  vectors: Float32Array;
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

/**
 * Packs vectors, checking that they are finite and of one dimension. Large batches yield to the event loop in between.
 *
 * @throws ChromaValueError naming the record when a value is not a finite number.
 */
export async function packEmbeddings(
  embeddings: Embeddings,
  dimension: number | undefined,
  context: PackContext,
): Promise<PackedEmbeddings> {
  const packer = new Packer(embeddings, dimension, context);
  if (packer.values <= SMALL_BATCH_VALUES) packer.pack(0, packer.rows);
  else await inSlices(packer.rows, (from, to) => packer.pack(from, to));
  return packer;
}

/**
 * As {@link packEmbeddings}, for the few vectors of a query: at once, and always as a copy, since queries are handed over a
 * little later.
 */
export function packQueries(
  embeddings: Embeddings,
  dimension: number | undefined,
  context: PackContext,
): PackedEmbeddings {
  const packer = new Packer(isFlat(embeddings) ? embeddings.slice() : embeddings, dimension, context);
  packer.pack(0, packer.rows);
  return packer;
}

class Packer implements PackedEmbeddings {
  readonly vectors: Float32Array;
  readonly dimension: number;
  readonly rows: number;
  private readonly source: Embeddings;
  private readonly context: PackContext;

  constructor(source: Embeddings, dimension: number | undefined, context: PackContext) {
    this.source = source;
    this.context = context;
    this.rows = countEmbeddings(source, dimension);
    if (isFlat(source)) {
      this.dimension = dimension ?? 0;
      // Memory that another thread may write must not change between check and use.
      this.vectors = source.buffer instanceof ArrayBuffer ? source : source.slice();
    } else {
      this.dimension = source[0]?.length ?? 0;
      this.vectors = new Float32Array(this.rows * this.dimension);
    }
  }

  get values(): number {
    return this.vectors.length;
  }

  /** Packs rows `from..to`. */
  pack(from: number, to: number): void {
    const source = this.source;
    for (let row = from; row < to; row++) {
      if (!isFlat(source)) {
        const embedding = source[row];
        if (embedding === undefined || embedding.length !== this.dimension) {
          throw badRequest(this.context.route, "Inconsistent dimensions in provided embeddings");
        }
        if (embedding instanceof Float32Array) this.vectors.set(embedding, row * this.dimension);
        else {
          this.packNumbers(embedding, row);
          continue;
        }
      }
      this.checkFinite(row);
    }
  }

  private packNumbers(embedding: ArrayLike<unknown>, row: number): void {
    const { vectors, dimension } = this;
    const start = row * dimension;
    for (let i = 0; i < dimension; i++) {
      const value = embedding[i];
      if (typeof value !== "number" || !(value >= -LARGEST_F32 && value <= LARGEST_F32)) {
        throw this.notFinite(value, row, i);
      }
      vectors[start + i] = value;
    }
  }

  private checkFinite(row: number): void {
    const { vectors, dimension } = this;
    const start = row * dimension;
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

/** Splits a row-major array into `rows` arrays of numbers. */
export function unpackEmbeddings(values: Float64Array, rows: number): number[][] {
  if (rows === 0) return [];
  const dimension = values.length / rows;
  const embeddings: number[][] = new Array(rows);
  for (let row = 0; row < rows; row++) {
    embeddings[row] = Array.from(values.subarray(row * dimension, (row + 1) * dimension));
  }
  return embeddings;
}
